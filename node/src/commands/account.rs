//! `drawbridge account new|list|import|update`. The lines that scripts look for are geth's: `Public address of the key:`,
//! `Path of the secret key file:`, `Account #0: {…}`, `Address: {…}`.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use alloy_primitives::hex;
use consensus::crypto::{self, SecretKey};
use zeroize::Zeroizing;

use crate::accounts::{Passwords, open_keystore, resolve};
use crate::cli::AccountCommand;
use crate::config::AccountsConfig;
use crate::exit::Fatal;
use crate::keystore::{Account, EncryptedKey, Keystore};

use super::say;

/// The largest key file that is read, in bytes.
const KEY_FILE_SIZE_BYTES_MAX: u64 = 64 * 1024;

/// Runs one of the commands.
///
/// # Errors
/// A key, a password or a file is missing or wrong.
pub fn run(command: &AccountCommand, config: &AccountsConfig, out: &mut dyn Write) -> Result<(), Fatal> {
    let keystore = open_keystore(config, None)?;
    match command {
        AccountCommand::New { .. } => new(&keystore, config, out),
        AccountCommand::List { .. } => list(&keystore, out),
        AccountCommand::Import { file, .. } => import(&keystore, config, file, out),
        AccountCommand::Update { accounts, .. } => {
            let mut passwords = Passwords::open(config.password_file.as_deref())?;
            accounts.iter().try_for_each(|account| {
                let address = resolve(&keystore, *account)?;
                let old = passwords.next_or_last(&format!("Password of {address}: "))?;
                if !passwords.has_more() {
                    return Err(Fatal::key(
                        "the password file has no new password",
                        "put the old password on its first line and the new one on its second",
                    ));
                }
                let new = passwords.next_new("New password: ")?;
                keystore.update(address, &old, &new)?;
                say(out, format_args!("Updated {address}"))
            })
        }
    }
}

fn new(keystore: &Keystore, config: &AccountsConfig, out: &mut dyn Write) -> Result<(), Fatal> {
    let password = Passwords::open(config.password_file.as_deref())?.next_new("Password of the new account: ")?;
    let account = keystore.new_account(&password)?;
    say(out, "\nA new key is made.\n")?;
    say(out, format_args!("Public address of the key:   {}", account.address))?;
    say(out, format_args!("Path of the secret key file: {}", path_of(&account)))?;
    say(out, "\nAnyone may know the address. Nobody else may have the file and the password together.")?;
    say(out, "Keep a copy of both: without them the account is lost.")
}

fn list(keystore: &Keystore, out: &mut dyn Write) -> Result<(), Fatal> {
    keystore.list()?.iter().enumerate().try_for_each(|(index, account)| {
        let address = hex::encode(account.address);
        say(out, format_args!("Account #{index}: {{{address}}} keystore://{}", path_of(account)))
    })
}

fn import(keystore: &Keystore, config: &AccountsConfig, file: &Path, out: &mut dyn Write) -> Result<(), Fatal> {
    let text = read_key_file(file)?;
    let mut passwords = Passwords::open(config.password_file.as_deref())?;
    let key = if text.trim_start().starts_with('{') {
        let encrypted = EncryptedKey::parse(&text)?;
        encrypted.decrypt(&passwords.next_or_last(&format!("Password of {}: ", file.display()))?)?
    } else {
        plain_key(&text).ok_or_else(|| {
            Fatal::key(
                format!("{}: not a secret key", file.display()),
                "give a file with 64 hexadecimal digits, or a version 3 key file",
            )
        })?
    };
    let password = passwords.next_new("New password: ")?;
    let account = keystore.import(key, &password)?;
    say(out, format_args!("Address: {{{}}}", hex::encode(account.address)))
}

/// Reads 64 hexadecimal digits, with or without `0x`, and space around them.
fn plain_key(text: &str) -> Option<SecretKey> {
    let bytes = Zeroizing::new(hex::decode(text.trim()).ok()?);
    crypto::secret_key(bytes.as_slice().try_into().ok()?).ok()
}

fn read_key_file(path: &Path) -> Result<Zeroizing<String>, Fatal> {
    let mut text = Zeroizing::new(String::new());
    File::open(path).and_then(|file| file.take(KEY_FILE_SIZE_BYTES_MAX).read_to_string(&mut text)).map_err(
        |error| Fatal::key(format!("{}: {error}", path.display()), "give a key file that this user may read"),
    )?;
    Ok(text)
}

fn path_of(account: &Account) -> String {
    account.path.as_deref().unwrap_or(Path::new("")).display().to_string()
}
