//! Requests that are none: each gets its code, and none takes memory for good.

use std::time::Duration;

use bench::Failure;
use bench::client::Client;
use bench::random::Random;
use serde_json::{Value, json};

use crate::abuse::Finding;
use crate::abuse::node::{Target, exchange, frame};

/// How much more memory they may take, in MiB.
const MIB_MAX: u64 = 50;
/// How many clients send at the same time.
const CLIENTS: u64 = 4;
/// One of so many is malformed already as HTTP.
const HTTP_SHARE: u64 = 500;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// A request that is well formed.
const GOOD: &str = r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["latest",false]}"#;

/// Sends malformed requests.
pub(crate) fn requests(target: &mut Target, count: u64, seed: u64) -> Result<Finding, Failure> {
    let mut finding = Finding::new(format!("{count} malformed requests"));
    warm_up(target)?;
    let before = target.resident_mib()?;
    let endpoint = target.endpoint();
    let sent: Result<Vec<Vec<String>>, Failure> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (endpoint, target) = (endpoint.clone(), &*target);
                let share = count / CLIENTS + u64::from(number < count % CLIENTS);
                scope.spawn(move || send(target, Client::connect(&endpoint)?, share, seed.wrapping_add(number)))
            })
            .collect();
        let joined = clients.into_iter().map(|client| client.join().map_err(|_| Failure::from("a client panicked"))?);
        joined.collect()
    });
    let wrong: Vec<String> = sent?.into_iter().flatten().collect();
    let more = target.resident_mib()?.saturating_sub(before);
    finding.tell(format!("{} wrong answers, {more} MiB more (at most {MIB_MAX})", wrong.len()));
    for answer in wrong.iter().take(3) {
        finding.promise(false, format!("{}: {answer}", finding.what));
    }
    finding.promise(more <= MIB_MAX, format!("{}: {more} MiB more, at most {MIB_MAX}", finding.what));
    finding.promise(!target.is_hurt()?, format!("{}: the node panicked", finding.what));
    Ok(finding)
}

/// Lets the node load what good requests need, so that what malformed ones take is told apart.
fn warm_up(target: &Target) -> Result<(), Failure> {
    let mut client = Client::connect(&target.endpoint())?;
    for _ in 0..2000 {
        client.send_framed(&frame(GOOD.as_bytes()))?;
    }
    Ok(())
}

/// Sends a client's share; returns what was answered wrongly.
fn send(target: &Target, mut client: Client, count: u64, seed: u64) -> Result<Vec<String>, Failure> {
    let mut random = Random::new(seed);
    let mut wrong = Vec::new();
    for number in 0..count {
        if number % HTTP_SHARE == 0 {
            wrong.extend(send_no_http(target, &mut random)?);
            continue;
        }
        let (body, codes) = draw(&mut random);
        let answer = client.send_framed(&frame(&body));
        let code = answer.as_deref().ok().and_then(|text| serde_json::from_str::<Value>(text).ok());
        let code = code.and_then(|answer| answer["error"]["code"].as_i64());
        if !code.is_some_and(|code| codes.contains(&code)) {
            wrong.push(format!("{:?} is answered with {answer:?}", String::from_utf8_lossy(&body)));
            client = Client::connect(&target.endpoint())?;
        }
    }
    Ok(wrong)
}

/// Draws a body that is no good request, and the codes that fit.
fn draw(random: &mut Random) -> (Vec<u8>, &'static [i64]) {
    const PARSE: &[i64] = &[-32700];
    const INVALID: &[i64] = &[-32600];
    const UNKNOWN: &[i64] = &[-32601];
    const PARAMS: &[i64] = &[-32602];
    let number = random.below(1 << 32);
    match random.below(10) {
        // Cut short, at a character of one byte.
        0 => {
            let length = usize::try_from(random.below(80)).unwrap_or(0).max(1);
            (GOOD.as_bytes()[..length].to_vec(), PARSE)
        }
        1 => (format!("{{\"id\":{number}}}").into_bytes(), INVALID),
        2 => (json!({"jsonrpc": "1.0", "id": number, "method": "eth_chainId"}).to_string().into_bytes(), INVALID),
        3 => (
            json!({"jsonrpc": "2.0", "id": number, "method": format!("eth_{number}")}).to_string().into_bytes(),
            UNKNOWN,
        ),
        4 => {
            let params = json!([{"to": number}, "latest"]);
            (
                json!({"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": params}).to_string().into_bytes(),
                PARAMS,
            )
        }
        5 => (
            json!({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": {"n": number}})
                .to_string()
                .into_bytes(),
            PARAMS,
        ),
        6 => {
            let depth = usize::try_from(random.below(3000)).unwrap_or(0) + 200;
            ("[".repeat(depth).into_bytes(), PARSE)
        }
        7 => {
            let bytes: Vec<u8> =
                (0..random.below(200) + 1).map(|_| 0x80 | u8::try_from(random.below(128)).unwrap_or(0)).collect();
            (bytes, PARSE)
        }
        8 => (b"[]".to_vec(), INVALID),
        _ => {
            let long = "x".repeat(usize::try_from(random.below(20_000)).unwrap_or(0));
            (json!({"jsonrpc": "2.0", "id": 1, "method": long}).to_string().into_bytes(), UNKNOWN)
        }
    }
}

/// Sends what is no HTTP, or no request that may be answered; returns what came back where it does not fit.
fn send_no_http(target: &Target, random: &mut Random) -> Result<Option<String>, Failure> {
    let good = frame(GOOD.as_bytes());
    let text = String::from_utf8_lossy(&good).replacen("\r\n", "\r\nconnection: close\r\n", 1);
    let (bytes, statuses): (Vec<u8>, &[&str]) = match random.below(7) {
        0 => (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), &["400", ""]),
        1 => (b"GET /nothing HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".to_vec(), &["404"]),
        2 => (text.replacen("POST", "PUT", 1).into_bytes(), &["405"]),
        3 => (text.replacen("application/json", "text/plain", 1).into_bytes(), &["415"]),
        4 => (text.replacen("host: localhost", "host: evil.example", 1).into_bytes(), &["403"]),
        5 => (text.replacen("content-length: ", "content-length: 999999", 1).into_bytes(), &["413"]),
        _ => ([b"POST / HTTP/1.1\r\nx: ".as_slice(), &[b'a'; 100_000]].concat(), &["431", ""]),
    };
    let answer = exchange(target.connect(PATIENCE)?, &bytes)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).unwrap_or_default();
    let head: String = String::from_utf8_lossy(&bytes).chars().take(80).collect();
    Ok((!statuses.contains(&status)).then(|| format!("{head:?} is answered with {status:?}")))
}
