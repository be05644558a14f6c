//! `drawbridge code …`: makes and reads the codes that buyers show at devices.

use std::io::{Read, Write};
use std::path::Path;
use std::time::SystemTime;

use alloy_primitives::{Address, Signature, hex};
use device_bridge::code::picture::{self, Picture};
use device_bridge::code::{Code, Release, SAFE_PREFIX, TEXT_BYTES_MAX, Ticket, WALLET_PREFIX, WalletTicket};
use serde_json::json;

use super::say;
use crate::accounts::{Passwords, open_keystore, resolve};
use crate::cli::device_flags::{CodeCommand, CodeMakeArgs};
use crate::config::AccountsConfig;
use crate::exit::Fatal;
use crate::keystore::Keystore;

/// How long a code counts where nothing else is said, in seconds.
const LIFETIME_SECONDS: u64 = 300;

/// Runs `drawbridge code …`.
///
/// # Errors
/// The code cannot be made or read.
pub fn run(command: &CodeCommand, accounts: &AccountsConfig, out: &mut dyn Write) -> Result<(), Fatal> {
    match command {
        CodeCommand::Make(args) => make(args, accounts, out),
        CodeCommand::Read { code } => read(code, out),
    }
}

fn make(args: &CodeMakeArgs, accounts: &AccountsConfig, out: &mut dyn Write) -> Result<(), Fatal> {
    let keystore = open_keystore(accounts, None)?;
    let buyer = match (args.account, args.buyer) {
        (Some(account), _) => resolve(&keystore, account)?,
        (None, Some(buyer)) => buyer,
        (None, None) => return Err(usage("code make needs --account or --buyer")),
    };
    if args.plain {
        return show(args, &Code::Plain { contract: args.contract, buyer }.to_string(), out);
    }
    let release = release(args, buyer)?;
    if args.typed_data {
        return say(out, typed_data(&release));
    }
    if let Some(signature) = &args.wallet_signature {
        let ticket = WalletTicket::new(release, signature.to_vec());
        let ticket = ticket.map_err(|error| Fatal::key(error, "give --wallet-signature as the wallet takes it"))?;
        return show(args, &ticket.to_string(), out);
    }
    let ticket = Ticket::new(release.clone(), signature(args, accounts, &keystore, &release)?);
    let ticket = ticket.map_err(|error| Fatal::key(error, "sign with the buyer's account, and these very values"))?;
    show(args, &ticket.to_string(), out)
}

fn usage(cause: &str) -> Fatal {
    Fatal::Usage { cause: cause.to_owned() }
}

fn release(args: &CodeMakeArgs, buyer: Address) -> Result<Release, Fatal> {
    let (Some(chain_id), Some(device)) = (args.chain_id, args.device.clone()) else {
        return Err(usage("code make needs --chain-id and --device"));
    };
    let lifetime = args.lifetime.map_or(LIFETIME_SECONDS, |span| span.0.as_secs());
    let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
    let nonce = args.nonce.map_or_else(rand::random, |nonce| nonce.0);
    let not_after = args.not_after.unwrap_or(now.saturating_add(lifetime));
    Ok(Release { chain_id, contract: args.contract, buyer, device, nonce, not_after })
}

fn signature(
    args: &CodeMakeArgs,
    accounts: &AccountsConfig,
    keystore: &Keystore,
    release: &Release,
) -> Result<Signature, Fatal> {
    if let Some(bytes) = &args.signature {
        return Signature::from_raw(bytes).map_err(|_| usage("--signature is not r, s and v: 65 bytes"));
    }
    if args.account.is_none() {
        return Err(usage("a buyer whose key is elsewhere signs --typed-data, and --signature takes the result"));
    }
    let mut passwords = Passwords::open(accounts.password_file.as_deref())?;
    let password = passwords.next_or_last(&format!("Password of {}: ", release.buyer))?;
    Ok(keystore.sign_with_password(release.buyer, &password, release.digest())?)
}

/// Returns what a wallet signs (`eth_signTypedData_v4`).
fn typed_data(release: &Release) -> String {
    let field = |name: &str, kind: &str| json!({"name": name, "type": kind});
    let domain = [
        field("name", "string"),
        field("version", "string"),
        field("chainId", "uint256"),
        field("verifyingContract", "address"),
    ];
    let content =
        [field("buyer", "address"), field("device", "string"), field("nonce", "bytes16"), field("notAfter", "uint64")];
    json!({
        "types": {"EIP712Domain": domain, "Release": content},
        "primaryType": "Release",
        "domain": {
            "name": "Drawbridge",
            "version": "1",
            "chainId": release.chain_id,
            "verifyingContract": release.contract,
        },
        "message": {
            "buyer": release.buyer,
            "device": release.device,
            "nonce": hex::encode_prefixed(release.nonce),
            "notAfter": release.not_after,
        },
    })
    .to_string()
}

/// Writes the code as text and in the pictures that were asked for.
fn show(args: &CodeMakeArgs, text: &str, out: &mut dyn Write) -> Result<(), Fatal> {
    let picture = || Picture::of(text).map_err(|error| Fatal::config(error, "shorten the device's name"));
    if let Some(path) = &args.png {
        let png = picture()?.png().map_err(|error| Fatal::Internal { cause: error.to_string() })?;
        write(path, &png)?;
    }
    if let Some(path) = &args.svg {
        write(path, picture()?.svg().as_bytes())?;
    }
    if args.terminal {
        say(out, picture()?.terminal())?;
    }
    say(out, text)
}

fn write(path: &Path, content: &[u8]) -> Result<(), Fatal> {
    std::fs::write(path, content).map_err(|error| Fatal::io(path, &error))
}

fn read(source: &str, out: &mut dyn Write) -> Result<(), Fatal> {
    let text = match source {
        "-" => from_standard_input()?,
        text if is_text(text) => text.to_owned(),
        path => from_picture(Path::new(path))?,
    };
    let code: Code = text.parse().map_err(|error| Fatal::config(error, "scan the code again, or ask for a new one"))?;
    let lines = match &code {
        Code::Plain { contract, buyer } => {
            vec![
                ("form", "plain, without a signature".to_owned()),
                ("contract", contract.to_string()),
                ("buyer", buyer.to_string()),
            ]
        }
        Code::Safe(ticket) => described("safe, signed by the buyer", ticket.release()),
        Code::Wallet(ticket) => described("safe, if the buyer's wallet says so on the chain", ticket.release()),
    };
    lines.into_iter().try_for_each(|(name, value)| say(out, format!("{name:10} {value}")))
}

fn described(form: &str, release: &Release) -> Vec<(&'static str, String)> {
    vec![
        ("form", form.to_owned()),
        ("chain id", release.chain_id.to_string()),
        ("contract", release.contract.to_string()),
        ("buyer", release.buyer.to_string()),
        ("device", release.device.clone()),
        ("not after", release.not_after.to_string()),
        ("nonce", hex::encode_prefixed(release.nonce)),
        ("job", release.digest().to_string()),
    ]
}

/// Tells whether an argument is a code rather than a file's name.
fn is_text(argument: &str) -> bool {
    let begins = |prefix: &str| argument.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix));
    begins(SAFE_PREFIX)
        || begins(WALLET_PREFIX)
        || begins("0x")
        || argument.len() >= 80 && argument.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn from_standard_input() -> Result<String, Fatal> {
    let most = u64::try_from(TEXT_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = String::new();
    let read = std::io::stdin().take(most).read_to_string(&mut text);
    read.map_err(|error| Fatal::config(format!("standard input: {error}"), "give the code as text"))?;
    Ok(text)
}

fn from_picture(path: &Path) -> Result<String, Fatal> {
    let bytes = std::fs::read(path).map_err(|error| Fatal::io(path, &error))?;
    picture::read(&bytes).map_err(|error| {
        Fatal::config(format!("{}: {error}", path.display()), "take a sharper picture of the whole code, alone")
    })
}
