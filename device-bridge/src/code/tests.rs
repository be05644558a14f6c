use alloy_primitives::{address, hex};
use proptest::prelude::*;

use super::claim::{Approval, Claim};
use super::*;

fn key(number: u8) -> SecretKey {
    crypto::secret_key([number; 32]).unwrap()
}

fn release() -> Release {
    Release {
        chain_id: 1337,
        contract: address!("5FbDB2315678afecb367f032d93F642f64180aa3"),
        buyer: crypto::address_of(&key(2)),
        device: "dock-1".to_owned(),
        nonce: hex!("000102030405060708090a0b0c0d0e0f"),
        not_after: 1_800_000_000,
    }
}

/// By ethers 6: `TypedDataEncoder.hash(domain, types, message)` of the same values.
#[test]
fn the_digest_is_that_of_a_wallet() {
    let expected = hex!("b165d23b2cc01484657b4df8066316b81d91f7c0f34a012096ccc94ab2d85c16");
    assert_eq!(release().digest().0, expected);
}

#[test]
fn a_safe_code_comes_back_and_fits_a_small_picture() {
    let ticket = release().sign(&key(2)).unwrap();
    let text = ticket.to_string();
    assert_eq!(text.len(), 219);
    assert!(text.starts_with("T1:") && text.is_ascii());
    for variant in [text.clone(), text.to_ascii_lowercase(), format!("{text}\r\n"), format!(" {text}  ")] {
        assert_eq!(variant.parse(), Ok(Code::Safe(ticket.clone())), "{variant:?}");
    }
}

#[test]
fn only_the_buyer_signs() {
    let signed = release().sign(&key(3));
    assert_eq!(signed, Err(CodeError::Signer { buyer: release().buyer, signer: crypto::address_of(&key(3)) }));
}

#[test]
fn the_twin_of_a_signature_is_refused() {
    let ticket = release().sign(&key(2)).unwrap();
    let order =
        alloy_primitives::U256::from_be_bytes(hex!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"));
    let twin = Signature::new(ticket.signature.r(), order - ticket.signature.s(), !ticket.signature.v());
    assert_eq!(
        crypto::recover_address(&twin, release().digest()),
        Ok(release().buyer),
        "it recovers to the buyer all the same"
    );
    assert_eq!(Ticket::new(release(), twin), Err(CodeError::Signature));
}

#[test]
fn a_wallet_s_code_comes_back_with_any_signature_that_fits() {
    for length in [1, 64, 65, 66, WALLET_SIGNATURE_BYTES_MAX] {
        let release = Release { device: "d".repeat(64), ..release() };
        let ticket = WalletTicket::new(release, vec![7; length]).unwrap();
        let text = ticket.to_string();
        assert!(text.starts_with("T2:") && text.len() <= TEXT_BYTES_MAX, "{length}: {}", text.len());
        assert_eq!(text.to_ascii_lowercase().parse(), Ok(Code::Wallet(ticket)));
    }
    for actual in [0, WALLET_SIGNATURE_BYTES_MAX + 1] {
        assert_eq!(WalletTicket::new(release(), vec![7; actual]), Err(CodeError::WalletSignature { actual }));
    }
    let unsigned = format!("T2:{}", base45::encode(&join(&release(), &[])));
    assert_eq!(unsigned.parse::<Code>(), Err(CodeError::WalletSignature { actual: 0 }));
    let key_form = format!("T1:{}", base45::encode(&join(&release(), &[7; 66])));
    assert!(matches!(key_form.parse::<Code>(), Err(CodeError::Damaged { .. })), "T1 has 65 bytes");
}

#[test]
fn plain_codes_are_read_as_scanners_type_them() {
    let (contract, buyer) = (release().contract, address!("70997970C51812dc3A010C7d01b50e0d17dc79C8"));
    let expected = Ok(Code::Plain { contract, buyer });
    let (one, two) = (contract.to_string(), buyer.to_string());
    let small = format!("{contract:#x}");
    for text in [
        format!("{one},{two}"),
        format!("{one}{two}"),
        format!("{one};{two}\n"),
        format!("{one}/{two}"),
        format!(" {one} {two}"),
        format!("{one},{two}").to_ascii_uppercase(),
        format!("{one},{two}").to_ascii_lowercase(),
        format!("{small}{two}"),
        format!("{}{}", &one[2..], &two[2..]),
        format!("{}{}", &one[2..], &two[2..]).to_ascii_uppercase(),
        Code::Plain { contract, buyer }.to_string(),
    ] {
        assert_eq!(text.parse(), expected, "{text}");
    }
}

#[test]
fn what_is_no_code_is_refused_by_name() {
    let one = release().contract.to_string();
    let wrong = one.replace('B', "b");
    let cases = [
        (String::new(), CodeError::Form),
        ("hello".to_owned(), CodeError::Form),
        (one.clone(), CodeError::Form),
        (format!("{one},,{one}"), CodeError::Form),
        (format!("{one},{one},"), CodeError::Form),
        (format!("{one},{}", &one[2..]), CodeError::Form),
        (format!("{one},{one}0"), CodeError::Form),
        (format!("{one},0x{}", "g".repeat(40)), CodeError::Form),
        (format!("{one},ä{}", "0".repeat(41)), CodeError::Form),
        (format!("{one},{wrong}"), CodeError::Checksum { address: wrong }),
        ("T1:".to_owned(), CodeError::Damaged { problem: "it is too short" }),
        ("T1:#".to_owned(), CodeError::Damaged { problem: "it is not Base45" }),
        ("T2:".to_owned(), CodeError::Damaged { problem: "it is too short" }),
        ("T2:#".to_owned(), CodeError::Damaged { problem: "it is not Base45" }),
        ("T3:".to_owned(), CodeError::Form),
        ("0".repeat(1001), CodeError::TooLong { actual: 1001 }),
    ];
    for (text, expected) in cases {
        assert_eq!(text.parse::<Code>(), Err(expected), "{text}");
    }
}

#[test]
fn a_claim_comes_back_for_its_own_chain_device_and_time_alone() {
    let until = release().not_after;
    let signed = Claim::from(&release().sign(&key(2)).unwrap());
    let wallets = Claim::from(&WalletTicket::new(release(), vec![1, 2, 3]).unwrap());
    let plain = Claim { release: release(), approval: Approval::Operator };
    for claim in [&signed, &wallets, &plain] {
        assert_eq!(Claim::read(&claim.to_string(), 1337, "dock-1", until).as_ref(), Ok(claim));
    }
    for (chain_id, device, until) in [(1, "dock-1", until), (1337, "dock-2", until), (1337, "dock-1", until + 1)] {
        assert!(Claim::read(&signed.to_string(), chain_id, device, until).is_err());
        assert!(Claim::read(&wallets.to_string(), chain_id, device, until).is_err());
    }
    for text in ["", ",", "T1:,0x00", "0x00,0x00,0x00"] {
        assert!(Claim::read(text, 1337, "dock-1", until).is_err(), "{text}");
    }
    let other = Claim::read(&plain.to_string(), 1337, "dock-1", until + 1).unwrap();
    assert_ne!(other.release.digest(), plain.release.digest(), "another time is another job");
}

#[test]
fn device_names_are_those_of_things() {
    for (name, fits) in
        [("dock-1", true), ("a:B_9", true), ("", false), ("a b", false), ("+", false), ("dock/1", false), ("é", false)]
    {
        assert_eq!(check_device_name(name).is_ok(), fits, "{name}");
    }
    assert!(check_device_name(&"a".repeat(64)).is_ok());
    assert!(check_device_name(&"a".repeat(65)).is_err());
}

proptest! {
    #[test]
    fn any_release_comes_back(chain_id: u64, contract: [u8; 20], device in "[a-zA-Z0-9:_-]{1,64}", nonce: [u8; 16], not_after: u64) {
        let buyer = crypto::address_of(&key(5));
        let release = Release { chain_id, contract: contract.into(), buyer, device, nonce, not_after };
        let ticket = release.sign(&key(5)).unwrap();
        prop_assert!(ticket.to_string().len() <= TEXT_BYTES_MAX);
        prop_assert_eq!(ticket.to_string().parse(), Ok(Code::Safe(ticket)));
    }

    #[test]
    fn a_changed_character_gives_no_other_ticket_of_the_same_buyer(place in 3_usize..219, with in "[0-9A-Z $%*+./:-]") {
        let ticket = release().sign(&key(2)).unwrap();
        let mut text = ticket.to_string();
        prop_assume!(text[place..=place] != with);
        text.replace_range(place..=place, &with);
        prop_assert!(text.parse::<Code>().is_err());
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>(), digits in "(T1:|T2:|0x)?[0-9A-Fa-f:;, /$]{0,160}") {
        let _ = text.parse::<Code>();
        if let Ok(code) = digits.parse::<Code>() {
            prop_assert_eq!(code.to_string().parse(), Ok(code));
        }
    }
}
