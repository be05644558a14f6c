use crate::node::{Node, config, transfer};
use serde_json::json;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn run(addr: std::net::SocketAddr, bodies: Vec<String>) {
    let mut s = TcpStream::connect(addr).await.unwrap();
    s.set_nodelay(true).unwrap();
    let mut buf = vec![0u8; 1 << 20];
    for b in bodies {
        let req = format!(
            "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{}",
            b.len(),
            b
        );
        s.write_all(req.as_bytes()).await.unwrap();
        let mut have = 0;
        loop {
            have += s.read(&mut buf[have..]).await.unwrap();
            let t = std::str::from_utf8(&buf[..have]).unwrap();
            if let Some(h) = t.find("\r\n\r\n") {
                let l: usize =
                    t[..h].lines().find_map(|l| l.strip_prefix("content-length: ")).unwrap().parse().unwrap();
                if have >= h + 4 + l {
                    assert!(!t.contains("error"), "{t}");
                    break;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn zz_measure() {
    let node = Node::start(config()).await;
    let addr = node.addr();
    let raws: Vec<String> = (0..5000).map(|n| transfer(0, n).to_string()).collect();
    let call = |m: &str, p: serde_json::Value| json!({"jsonrpc":"2.0","id":1,"method":m,"params":p});
    let singles: Vec<String> =
        raws[..1000].iter().map(|r| call("eth_sendRawTransaction", json!([r])).to_string()).collect();
    let t = Instant::now();
    run(addr, singles).await;
    println!("1000 single sendRaw, one connection: {:?}", t.elapsed());
    let batches: Vec<String> = raws[1000..5000]
        .chunks(100)
        .map(|c| json!(c.iter().map(|r| call("eth_sendRawTransaction", json!([r]))).collect::<Vec<_>>()).to_string())
        .collect();
    let t = Instant::now();
    run(addr, batches).await;
    println!("4000 sendRaw in batches of 100: {:?}", t.elapsed());
    let raws1: Vec<String> = (0..2000).map(|n| transfer(1, n).to_string()).collect();
    let t = Instant::now();
    let mut hs = vec![];
    for k in 0..4 {
        let v: Vec<String> =
            raws1.iter().skip(k).step_by(4).map(|r| call("eth_sendRawTransaction", json!([r])).to_string()).collect();
        hs.push(tokio::spawn(run(addr, v)));
    }
    for h in hs {
        h.await.unwrap()
    }
    println!("2000 single sendRaw, 4 connections: {:?}", t.elapsed());
    let t = Instant::now();
    let block = node.chain.mine();
    println!("mined {block} {:?}", t.elapsed());
    let n = node.call("eth_getBlockTransactionCountByNumber", json!(["latest"])).await;
    println!("txs {n}");
    for (m, p) in [
        ("eth_chainId", json!([])),
        ("eth_blockNumber", json!([])),
        ("eth_getBalance", json!([crate::node::account(0), "latest"])),
        (
            "eth_getTransactionReceipt",
            json!([alloy_primitives::keccak256(alloy_primitives::hex::decode(&raws[10]).unwrap())]),
        ),
        ("eth_getBlockByNumber", json!(["0x0", false])),
        ("eth_call", json!([{"to": crate::node::account(1)}, "latest"])),
        ("eth_estimateGas", json!([{"from": crate::node::account(0), "to": crate::node::account(1), "value":"0x1"}])),
        ("eth_gasPrice", json!([])),
    ] {
        let bodies = vec![call(m, p).to_string(); 2000];
        let t = Instant::now();
        run(addr, bodies).await;
        println!("{m}: {:?} each", t.elapsed() / 2000);
    }
    let t = Instant::now();
    node.call("eth_getBlockByNumber", json!(["latest", true])).await;
    println!("full block: {:?}", t.elapsed());
    let t = Instant::now();
    node.call("eth_getBlockReceipts", json!(["latest"])).await;
    println!("block receipts: {:?}", t.elapsed());
}
