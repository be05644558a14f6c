//! Actuators: what moves when a lock is told to open or to close.
//!
//! One trait, four kinds: a simulated lock, an external command, an MQTT topic and a GPIO line. Whether an actuator may be driven is not
//! decided here; each call drives it once.

use std::future::Future;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use alloy_primitives::B256;
use gpiocdev::Request;
use gpiocdev::line::Value;
use serde_json::json;

use crate::device_link::Outbound;
use crate::device_lock::Position;

/// How long an external command may take.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(10);
/// How often it is looked at whether it ended.
const COMMAND_POLL: Duration = Duration::from_millis(5);

/// Says why an actuator did not move.
#[derive(Debug, thiserror::Error)]
#[error("the actuator {actuator} failed: {problem}")]
pub struct ActuatorError {
    actuator: String,
    problem: String,
}

/// What an actuator is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// The job that it is for.
    pub job: B256,
    /// Where to go.
    pub position: Position,
}

/// The work of one order.
pub type Driving<'a> = Pin<Box<dyn Future<Output = Result<(), ActuatorError>> + Send + 'a>>;

/// Something that can be driven open and closed.
pub trait Actuator: Send {
    /// Drives it once, and returns when it is where it was told to go, as far as the kind of actuator can tell.
    fn drive(&mut self, order: Order) -> Driving<'_>;
}

/// Says which actuator is meant, as it is written on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActuatorSpec {
    /// `none`: nothing moves here.
    None,
    /// `simulated` or `simulated:FILE`: a lock that notes each movement in a file.
    Simulated(Option<PathBuf>),
    /// `command:PROGRAM ARGUMENT…`: run with `open` or `closed` and the job as further arguments.
    Command(Vec<String>),
    /// `mqtt:TOPIC`: published as JSON.
    Mqtt(String),
    /// `gpio:CHIP:LINE` or `gpio:CHIP:LINE:low`: a line of the character device CHIP, active high or low while open.
    Gpio {
        /// The character device, such as `/dev/gpiochip0`.
        chip: PathBuf,
        /// The line's number on the chip.
        line: u32,
        /// Whether low means open.
        active_low: bool,
    },
}

impl FromStr for ActuatorSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = "none, simulated[:FILE], command:PROGRAM ARGUMENT…, mqtt:TOPIC, gpio:CHIP:LINE[:low]";
        let wrong = || format!("{text:?} is no actuator; there are {known}");
        let (kind, rest) = text.split_once(':').map_or((text, None), |(kind, rest)| (kind, Some(rest)));
        match (kind, rest.filter(|rest| !rest.trim().is_empty())) {
            ("none", None) => Ok(Self::None),
            ("simulated", file) => Ok(Self::Simulated(file.map(PathBuf::from))),
            ("command", Some(line)) => Ok(Self::Command(line.split_whitespace().map(str::to_owned).collect())),
            ("mqtt", Some(topic)) if !topic.contains(['+', '#', '\0']) => Ok(Self::Mqtt(topic.to_owned())),
            ("gpio", Some(rest)) => {
                let (rest, active_low) = rest.strip_suffix(":low").map_or((rest, false), |rest| (rest, true));
                let (chip, line) = rest.rsplit_once(':').ok_or_else(wrong)?;
                let line = line.parse().map_err(|_| wrong())?;
                Ok(Self::Gpio { chip: PathBuf::from(chip), line, active_low })
            }
            _ => Err(wrong()),
        }
    }
}

impl ActuatorSpec {
    /// Makes the actuator; `None` where nothing moves here.
    ///
    /// # Errors
    /// It is not there or cannot be used.
    pub fn make(&self, outbound: &Outbound) -> Result<Option<Box<dyn Actuator>>, ActuatorError> {
        Ok(match self {
            Self::None => None,
            Self::Simulated(file) => Some(Box::new(SimulatedLock { file: file.clone(), position: Position::Closed })),
            Self::Command(words) => Some(Box::new(CommandActuator { words: words.clone() })),
            Self::Mqtt(topic) => Some(Box::new(MqttActuator { topic: topic.clone(), outbound: outbound.clone() })),
            Self::Gpio { chip, line, active_low } => Some(Box::new(GpioActuator::open(chip, *line, *active_low)?)),
        })
    }
}

fn failed(actuator: impl Into<String>, problem: impl ToString) -> ActuatorError {
    ActuatorError { actuator: actuator.into(), problem: problem.to_string() }
}

/// Returns the word for a position.
fn word(position: Position) -> &'static str {
    match position {
        Position::Open => "open",
        Position::Closed => "closed",
    }
}

/// A lock that exists in a file alone: one line for each movement.
#[derive(Debug)]
pub struct SimulatedLock {
    file: Option<PathBuf>,
    position: Position,
}

impl Actuator for SimulatedLock {
    fn drive(&mut self, order: Order) -> Driving<'_> {
        let done = self.note(order).map_err(|problem| failed("simulated", problem));
        self.position = order.position;
        Box::pin(std::future::ready(done))
    }
}

impl SimulatedLock {
    fn note(&self, order: Order) -> std::io::Result<()> {
        let (job, from, to) = (order.job, word(self.position), word(order.position));
        tracing::info!(%job, from, to, "the simulated lock moves");
        let Some(file) = &self.file else { return Ok(()) };
        let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis());
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file)?;
        file.write_all(format!("{to} {job} {now}\n").as_bytes())
    }
}

/// An external command: exit code 0 means that it did what it was told.
#[derive(Debug)]
pub struct CommandActuator {
    words: Vec<String>,
}

impl Actuator for CommandActuator {
    fn drive(&mut self, order: Order) -> Driving<'_> {
        Box::pin(async move {
            let (program, arguments) = self.words.split_first().ok_or_else(|| failed("command", "it is empty"))?;
            let mut command = Command::new(program);
            command.args(arguments).arg(word(order.position)).arg(order.job.to_string());
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
            let mut child = command.spawn().map_err(|error| failed(program, error))?;
            match tokio::time::timeout(COMMAND_TIME_MAX, ended(&mut child)).await {
                Ok(Ok(status)) if status.success() => Ok(()),
                Ok(Ok(status)) => Err(failed(program, status)),
                Ok(Err(error)) => Err(failed(program, error)),
                Err(_) => {
                    // It may have ended just now, which is as good.
                    let _ = child.kill().and_then(|()| child.wait());
                    Err(failed(program, format!("not done within {COMMAND_TIME_MAX:?}")))
                }
            }
        })
    }
}

/// Waits for a process without a thread of its own.
async fn ended(child: &mut Child) -> std::io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        tokio::time::sleep(COMMAND_POLL).await;
    }
}

/// A topic that a lock of another make listens to.
#[derive(Debug)]
pub struct MqttActuator {
    topic: String,
    outbound: Outbound,
}

impl Actuator for MqttActuator {
    fn drive(&mut self, order: Order) -> Driving<'_> {
        let message = json!({"lock": word(order.position), "job": order.job});
        self.outbound.publish(&self.topic, message.to_string());
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A line of a GPIO chip, held as long as this lives, and inactive until the first order.
#[derive(Debug)]
pub struct GpioActuator {
    name: String,
    request: Request,
}

impl GpioActuator {
    /// Takes the line.
    ///
    /// # Errors
    /// There is no such chip or line, it is in use, or this user may not have it.
    pub fn open(chip: &Path, line: u32, active_low: bool) -> Result<Self, ActuatorError> {
        let name = format!("gpio:{}:{line}", chip.display());
        let mut builder = Request::builder();
        builder.on_chip(chip).with_consumer("drawbridge").with_line(line).as_output(Value::Inactive);
        if active_low {
            builder.as_active_low();
        }
        let request = builder.request().map_err(|error| failed(&name, error))?;
        Ok(Self { name, request })
    }
}

impl Actuator for GpioActuator {
    fn drive(&mut self, order: Order) -> Driving<'_> {
        let value = match order.position {
            Position::Open => Value::Active,
            Position::Closed => Value::Inactive,
        };
        let done = self.request.set_lone_value(value).map(drop).map_err(|error| failed(&self.name, error));
        Box::pin(std::future::ready(done))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Order = Order { job: B256::repeat_byte(7), position: Position::Open };

    fn make(text: &str) -> Result<Option<Box<dyn Actuator>>, ActuatorError> {
        text.parse::<ActuatorSpec>().unwrap().make(&Outbound::default())
    }

    #[test]
    fn actuators_are_written_in_one_word() {
        let gpio = |line, active_low| ActuatorSpec::Gpio { chip: "/dev/gpiochip0".into(), line, active_low };
        for (text, expected) in [
            ("none", ActuatorSpec::None),
            ("simulated", ActuatorSpec::Simulated(None)),
            ("simulated:a:b", ActuatorSpec::Simulated(Some("a:b".into()))),
            ("command:/bin/lock -v", ActuatorSpec::Command(vec!["/bin/lock".into(), "-v".into()])),
            ("mqtt:locks/7", ActuatorSpec::Mqtt("locks/7".into())),
            ("gpio:/dev/gpiochip0:17", gpio(17, false)),
            ("gpio:/dev/gpiochip0:3:low", gpio(3, true)),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in ["", "door", "command:", "command: ", "mqtt:", "mqtt:a/#", "gpio:/dev/x", "gpio:/dev/x:y", "none:1"]
        {
            assert!(text.parse::<ActuatorSpec>().unwrap_err().contains("gpio:CHIP:LINE"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_simulated_lock_notes_each_movement() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lock");
        let mut lock = make(&format!("simulated:{}", file.display())).unwrap().unwrap();
        lock.drive(OPEN).await.unwrap();
        lock.drive(Order { position: Position::Closed, ..OPEN }).await.unwrap();
        let text = std::fs::read_to_string(file).unwrap();
        let words: Vec<_> = text.lines().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(words, ["open", "closed"]);
        assert!(text.contains(&OPEN.job.to_string()));
        assert!(make("simulated:/nowhere/lock").unwrap().unwrap().drive(OPEN).await.is_err());
    }

    #[tokio::test]
    async fn a_command_is_told_position_and_job_and_its_failure_counts() {
        let folder = tempfile::tempdir().unwrap();
        let (script, noted) = (folder.path().join("lock.sh"), folder.path().join("noted"));
        std::fs::write(&script, format!("echo \"$@\" > {}\n", noted.display())).unwrap();
        let mut lock = make(&format!("command:sh {} dock-1", script.display())).unwrap().unwrap();
        lock.drive(OPEN).await.unwrap();
        assert_eq!(std::fs::read_to_string(noted).unwrap(), format!("dock-1 open {}\n", OPEN.job));
        for wrong in ["command:false", "command:/nowhere/lock"] {
            assert!(make(wrong).unwrap().unwrap().drive(OPEN).await.is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_chip_that_is_not_there_is_named() {
        let problem = make("gpio:/dev/nowhere:1").map(drop).unwrap_err().to_string();
        assert!(problem.contains("gpio:/dev/nowhere:1"), "{problem}");
    }
}
