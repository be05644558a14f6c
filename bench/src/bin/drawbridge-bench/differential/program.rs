//! Programs for the EVM as lists of removable parts, with names instead of addresses, and their assembly.

use alloy_primitives::{Address, U256};

/// An address that is known only when the case is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A contract of the case.
    Contract(usize),
    /// An account that delegates to a contract, once it has signed that.
    Authority(usize),
    /// One of the senders.
    Sender(usize),
    /// A precompiled contract, or an address beside them.
    Precompile(u16),
    /// An account that nothing has touched before.
    Fresh(u8),
}

/// One item of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// An opcode, or any byte.
    Byte(u8),
    /// The shortest PUSH of a number.
    Push(U256),
    /// PUSH20 of an address.
    PushTarget(Target),
    /// PUSH2 of where a label stands.
    PushLabel(u32),
    /// JUMPDEST with a label.
    Label(u32),
    /// PUSH2 of the length of the program that is carried as data.
    PushDataLength,
    /// PUSH2 of where that program begins.
    PushDataOffset,
}

/// Items that belong together: a test case becomes smaller by leaving out whole parts.
pub(crate) type Part = Vec<Item>;

/// A program and what it carries as data behind its last instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) parts: Vec<Part>,
}

/// A contract: what its creation does, and what it is then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contract {
    pub(crate) constructor: Program,
    pub(crate) runtime: Program,
}

const PUSH0: u8 = 0x5f;
const PUSH1: u8 = 0x60;
const PUSH2: u8 = 0x61;
const PUSH20: u8 = 0x73;
const JUMPDEST: u8 = 0x5b;

impl Item {
    fn size(&self) -> usize {
        match self {
            Self::Byte(_) | Self::Label(_) => 1,
            Self::Push(value) => 1 + value.byte_len(),
            Self::PushTarget(_) => 21,
            Self::PushLabel(_) | Self::PushDataLength | Self::PushDataOffset => 3,
        }
    }
}

impl Program {
    /// Returns the bytes of the program, `data` behind it.
    pub(crate) fn assemble(&self, data: &[u8], address: &impl Fn(Target) -> Address) -> Vec<u8> {
        let items = || self.parts.iter().flatten();
        let size: usize = items().map(Item::size).sum();
        let label_offset = |label: u32| {
            let mut offset = 0;
            for item in items() {
                if *item == Item::Label(label) {
                    return offset;
                }
                offset += item.size();
            }
            // A part that was left out had the label: the jump fails.
            0
        };
        let mut code = Vec::with_capacity(size + data.len());
        let push2 = |code: &mut Vec<u8>, value: usize| {
            let value = u16::try_from(value).unwrap_or(u16::MAX);
            code.push(PUSH2);
            code.extend_from_slice(&value.to_be_bytes());
        };
        for item in items() {
            match item {
                Item::Byte(byte) => code.push(*byte),
                Item::Label(_) => code.push(JUMPDEST),
                Item::Push(value) if value.is_zero() => code.push(PUSH0),
                Item::Push(value) => {
                    let bytes = value.to_be_bytes_trimmed_vec();
                    code.push(PUSH1 - 1 + u8::try_from(bytes.len()).expect("a word has 32 bytes"));
                    code.extend(bytes);
                }
                Item::PushTarget(target) => {
                    code.push(PUSH20);
                    code.extend_from_slice(address(*target).as_slice());
                }
                Item::PushLabel(label) => push2(&mut code, label_offset(*label)),
                Item::PushDataLength => push2(&mut code, data.len()),
                Item::PushDataOffset => push2(&mut code, size),
            }
        }
        code.extend_from_slice(data);
        code
    }
}

impl Contract {
    /// Returns the code that creates the contract.
    pub(crate) fn init_code(&self, address: &impl Fn(Target) -> Address) -> Vec<u8> {
        let runtime = self.runtime.assemble(&[], address);
        let mut creation = self.constructor.clone();
        // DUP1, the offset, PUSH0: CODECOPY; PUSH0: RETURN.
        let deploy = [
            Item::PushDataLength,
            Item::Byte(0x80),
            Item::PushDataOffset,
            Item::Byte(PUSH0),
            Item::Byte(0x39),
            Item::Byte(PUSH0),
            Item::Byte(0xf3),
        ];
        creation.parts.push(deploy.to_vec());
        creation.assemble(&runtime, address)
    }
}

/// Tells whether a code, read from its beginning, has an instruction whose result differs from node to node.
pub(crate) fn reads_what_differs(code: &[u8], forbidden: &[u8]) -> bool {
    let mut at = 0;
    while let Some(opcode) = code.get(at) {
        if forbidden.contains(opcode) {
            return true;
        }
        let pushed = opcode.checked_sub(PUSH0).filter(|length| *length <= 32).map_or(0, usize::from);
        at += 1 + pushed;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(items: &[Item], data: &[u8]) -> Vec<u8> {
        Program { parts: vec![items.to_vec()] }.assemble(data, &|_| Address::repeat_byte(7))
    }

    #[test]
    fn programs_are_assembled() {
        for (items, expected) in [
            (vec![Item::Push(U256::ZERO), Item::Push(U256::from(0x1234))], vec![0x5f, 0x61, 0x12, 0x34]),
            (vec![Item::PushLabel(1), Item::Byte(0x56), Item::Label(1)], vec![0x61, 0, 4, 0x56, 0x5b]),
            (vec![Item::PushDataLength, Item::PushDataOffset], vec![0x61, 0, 1, 0x61, 0, 6]),
        ] {
            assert_eq!(bytes(&items, &[]).len() + 1, bytes(&items, &[9]).len());
            assert_eq!(bytes(&items, &[9]), [expected, vec![9]].concat());
        }
        assert_eq!(bytes(&[Item::PushTarget(Target::Fresh(1))], &[])[..3], [0x73, 7, 7]);
    }

    #[test]
    fn pushed_bytes_are_no_instructions() {
        assert!(reads_what_differs(&[0x44], &[0x44]));
        assert!(reads_what_differs(&[0x60, 0, 0x44], &[0x44]));
        assert!(!reads_what_differs(&[0x60, 0x44], &[0x44]));
        assert!(!reads_what_differs(&[0x7f, 0x44, 0x44], &[0x44]));
    }
}
