//! The laboratory: a network namespace for each node, a bridge between them in one more, and rules that drop and slow what goes over it.

use std::process::{Command, Stdio};

use bench::Failure;

/// Namespaces of one run; dropping it removes them.
pub(crate) struct Lab {
    prefix: String,
    nodes: usize,
}

/// Runs a command of the system; what it says is the error.
fn run(program: &str, arguments: &[&str]) -> Result<(), Failure> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let text = String::from_utf8_lossy(&output.stderr);
            Err(format!("{program} {}: {}", arguments.join(" "), text.trim()).into())
        }
    }
}

impl Lab {
    /// Tells why no namespaces can be made here.
    pub(crate) fn check() -> Result<(), String> {
        let name = format!("db{}t", std::process::id());
        let tried = run("ip", &["netns", "add", &name])
            .and_then(|()| run("ip", &["netns", "exec", &name, "nft", "list", "ruleset"]));
        // It may not have come to that.
        let _ = run("ip", &["netns", "del", &name]);
        tried.map_err(|error| format!("network namespaces with nft rules cannot be made here ({error})"))
    }

    /// Makes the namespaces of `nodes` nodes, all connected.
    pub(crate) fn build(nodes: usize) -> Result<Self, Failure> {
        let lab = Self { prefix: format!("db{}", std::process::id()), nodes };
        let hub = lab.hub();
        run("ip", &["netns", "add", &hub])?;
        lab.within(&hub, "ip", &["link", "add", "br0", "type", "bridge"])?;
        lab.within(&hub, "ip", &["link", "set", "br0", "up"])?;
        for node in 0..nodes {
            let space = lab.space(node);
            let port = format!("p{node}");
            run("ip", &["netns", "add", &space])?;
            run("ip", &["link", "add", "eth0", "netns", &space, "type", "veth", "peer", "name", &port, "netns", &hub])?;
            lab.within(&hub, "ip", &["link", "set", &port, "master", "br0", "up"])?;
            lab.within(&space, "ip", &["addr", "add", &format!("{}/24", Self::address(node)), "dev", "eth0"])?;
            lab.within(&space, "ip", &["link", "set", "eth0", "up"])?;
            lab.within(&space, "ip", &["link", "set", "lo", "up"])?;
            lab.within(&space, "nft", &["add", "table", "inet", "lab"])?;
            lab.within(
                &space,
                "nft",
                &["add", "chain", "inet", "lab", "in", "{ type filter hook input priority 0 ; }"],
            )?;
        }
        Ok(lab)
    }

    fn hub(&self) -> String {
        format!("{}h", self.prefix)
    }

    /// Returns the name of a node's namespace.
    pub(crate) fn space(&self, node: usize) -> String {
        format!("{}n{node}", self.prefix)
    }

    /// Returns a node's address.
    pub(crate) fn address(node: usize) -> String {
        format!("10.77.0.{}", node + 1)
    }

    fn within(&self, space: &str, program: &str, arguments: &[&str]) -> Result<(), Failure> {
        let all: Vec<&str> = ["netns", "exec", space, program].into_iter().chain(arguments.iter().copied()).collect();
        run("ip", &all)
    }

    /// Drops all that comes to `at` from `from`.
    pub(crate) fn cut(&self, from: usize, at: usize) -> Result<(), Failure> {
        let source = Self::address(from);
        self.within(&self.space(at), "nft", &["add", "rule", "inet", "lab", "in", "ip", "saddr", &source, "drop"])
    }

    /// Drops so many of a hundred packets that come to `at`.
    pub(crate) fn lose(&self, at: usize, percent: u64) -> Result<(), Failure> {
        let rule = format!("ip saddr 10.77.0.0/24 numgen random mod 100 < {percent} drop");
        let words: Vec<&str> = ["add", "rule", "inet", "lab", "in"].into_iter().chain(rule.split(' ')).collect();
        self.within(&self.space(at), "nft", &words)
    }

    /// Lets out of a node only so many kilobits a second.
    pub(crate) fn slow(&self, node: usize, kbit: u64) -> Result<(), Failure> {
        let rate = format!("{kbit}kbit");
        let words =
            ["qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", &rate, "burst", "16kb", "latency", "400ms"];
        self.within(&self.space(node), "tc", &words)
    }

    /// Undoes everything.
    pub(crate) fn heal(&self) -> Result<(), Failure> {
        for node in 0..self.nodes {
            let space = self.space(node);
            self.within(&space, "nft", &["flush", "chain", "inet", "lab", "in"])?;
            // A link that was not slowed has nothing to remove.
            let _ = self.within(&space, "tc", &["qdisc", "del", "dev", "eth0", "root"]);
        }
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for space in (0..self.nodes).map(|node| self.space(node)).chain([self.hub()]) {
            // Where building failed some are not there.
            let _ = run("ip", &["netns", "del", &space]);
        }
    }
}
