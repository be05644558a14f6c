//! Random cases: contracts that compute, store, call and create, and transactions that set them off.

use alloy_primitives::{Bytes, U256};
use bench::random::Random;

use crate::differential::case::{Authorization, Case, Fee, Planned, To};
use crate::differential::program::{Contract, Item, Part, Program, Target};

/// What code may read of the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blocks {
    /// Both nodes have the same blocks, save for hash and PREVRANDAO.
    Equal,
    /// Each node makes its own blocks.
    Own,
}

impl Blocks {
    /// Returns the opcodes that are never generated.
    pub(crate) fn forbidden(self) -> &'static [u8] {
        const BLOCKHASH: u8 = 0x40;
        const COINBASE: u8 = 0x41;
        const TIMESTAMP: u8 = 0x42;
        const NUMBER: u8 = 0x43;
        const PREVRANDAO: u8 = 0x44;
        const GASLIMIT: u8 = 0x45;
        const BASEFEE: u8 = 0x48;
        match self {
            Self::Equal => &[BLOCKHASH, PREVRANDAO],
            Self::Own => &[BLOCKHASH, COINBASE, TIMESTAMP, NUMBER, PREVRANDAO, GASLIMIT, BASEFEE],
        }
    }
}

/// Opcodes that take two words and leave one.
const BINARY: [u8; 23] = [
    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x0a, 0x0b, 0x10, 0x11, 0x12, 0x13, 0x14, 0x16, 0x17, 0x18, 0x1a, 0x1b,
    0x1c, 0x1d, 0x20, 0x0a,
];
/// Opcodes that take one word and leave one: ISZERO, NOT, CLZ, and those that read an account.
const UNARY: [u8; 3] = [0x15, 0x19, 0x1e];
/// Opcodes that take three words and leave one: ADDMOD, MULMOD.
const TERNARY: [u8; 2] = [0x08, 0x09];
/// Opcodes that only leave a word.
const ENVIRONMENT: [u8; 20] = [
    0x30, 0x32, 0x33, 0x34, 0x36, 0x38, 0x3a, 0x3d, 0x41, 0x42, 0x43, 0x45, 0x46, 0x47, 0x48, 0x4a, 0x58, 0x59, 0x5a,
    0x5a,
];

const POP: u8 = 0x50;
const MLOAD: u8 = 0x51;
const MSTORE: u8 = 0x52;
const MSTORE8: u8 = 0x53;
const SLOAD: u8 = 0x54;
const SSTORE: u8 = 0x55;
const JUMP: u8 = 0x56;
const JUMPI: u8 = 0x57;
const TLOAD: u8 = 0x5c;
const TSTORE: u8 = 0x5d;
const MCOPY: u8 = 0x5e;
const GAS: u8 = 0x5a;
const DUP1: u8 = 0x80;
const DUP6: u8 = 0x85;
const SWAP1: u8 = 0x90;
const LOG0: u8 = 0xa0;
const CREATE: u8 = 0xf0;
const CALL: u8 = 0xf1;
const CALLCODE: u8 = 0xf2;
const RETURN: u8 = 0xf3;
const DELEGATECALL: u8 = 0xf4;
const CREATE2: u8 = 0xf5;
const STATICCALL: u8 = 0xfa;
const REVERT: u8 = 0xfd;
const INVALID: u8 = 0xfe;
const SELFDESTRUCT: u8 = 0xff;

/// How many senders there are.
pub(crate) const SENDERS: usize = 4;
/// How many accounts of a case may delegate.
pub(crate) const AUTHORITIES: usize = 2;

/// Makes cases from a seed.
pub(crate) struct Generator {
    random: Random,
    blocks: Blocks,
    labels: u32,
    contracts: usize,
}

/// Makes the case with this number of the run with this seed.
pub(crate) fn case(seed: u64, number: u64, blocks: Blocks) -> Case {
    let mixed = Random::new(seed ^ number.wrapping_mul(0xd134_2543_de82_ef95)).number();
    let mut generator = Generator { random: Random::new(mixed), blocks, labels: 0, contracts: 0 };
    generator.case(number)
}

impl Generator {
    fn chance(&mut self, percent: u64) -> bool {
        self.random.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.index(from.len())]
    }

    fn case(&mut self, number: u64) -> Case {
        self.contracts = 2 + self.random.index(3);
        let contracts = (0..self.contracts).map(|_| self.contract()).collect();
        let count = 5 + self.random.index(5);
        let transactions = (0..count).map(|_| self.transaction()).collect();
        Case { number, contracts, transactions }
    }

    fn contract(&mut self) -> Contract {
        let constructor = if self.chance(40) { self.parts(1, 2) } else { Vec::new() };
        let mut runtime = self.parts(3, 9);
        runtime.push(self.end());
        Contract { constructor: Program { parts: constructor }, runtime: Program { parts: runtime } }
    }

    fn parts(&mut self, least: usize, most: usize) -> Vec<Part> {
        let count = least + self.random.index(most - least + 1);
        (0..count).map(|_| self.part(0)).collect()
    }

    /// Makes a part that leaves the stack as it was, most of the time.
    fn part(&mut self, depth: u32) -> Part {
        match self.random.below(100) {
            0..25 => self.computation(),
            25..37 => self.storage(),
            37..47 => self.memory(),
            47..52 => self.account(),
            52..74 => self.call(),
            74..82 => self.creation(),
            82..88 => self.log(),
            88..98 if depth < 2 => self.branch(depth),
            98 => self.junk(),
            _ => self.computation(),
        }
    }

    fn number(&mut self) -> U256 {
        match self.random.below(10) {
            0..5 => U256::from(self.random.below(40)),
            5 => U256::from(self.random.below(70_000)),
            6 => U256::MAX,
            7 => U256::ONE << self.random.index(256),
            8 => U256::MAX - U256::from(self.random.below(300)),
            _ => U256::from_be_bytes(self.random.word().0),
        }
    }

    /// Where in memory: seldom so far that no gas pays for it.
    fn place(&mut self) -> U256 {
        match self.random.below(100) {
            0..90 => U256::from(self.random.below(200)),
            90..98 => U256::from(self.random.below(5000)),
            _ => self.number(),
        }
    }

    fn length(&mut self) -> U256 {
        match self.random.below(100) {
            0..60 => U256::from(self.random.below(70)),
            60..97 => U256::from(self.random.below(300)),
            _ => self.number(),
        }
    }

    fn target(&mut self) -> Target {
        match self.random.below(100) {
            0..62 => Target::Contract(self.random.index(self.contracts)),
            62..72 => Target::Authority(self.random.index(AUTHORITIES)),
            72..90 => {
                let precompiles =
                    [1, 2, 3, 4, 5, 6, 7, 8, 9, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x100];
                Target::Precompile(self.pick(&precompiles))
            }
            90..94 => Target::Sender(self.random.index(SENDERS)),
            _ => Target::Fresh(u8::try_from(self.random.below(4)).unwrap_or_default()),
        }
    }

    /// Leaves one word on the stack.
    fn source(&mut self) -> Part {
        match self.random.below(100) {
            0..60 => vec![Item::Push(self.number())],
            60..68 => vec![Item::Push(self.slot()), Item::Byte(SLOAD)],
            68..72 => vec![Item::Push(self.slot()), Item::Byte(TLOAD)],
            72..80 => vec![Item::Push(self.place()), Item::Byte(MLOAD)],
            80..86 => vec![Item::Push(self.place()), Item::Byte(0x35)],
            86..90 => vec![Item::PushTarget(self.target())],
            _ => vec![Item::Byte(self.environment())],
        }
    }

    fn environment(&mut self) -> u8 {
        loop {
            let opcode = self.pick(&ENVIRONMENT);
            if !self.blocks.forbidden().contains(&opcode) {
                return opcode;
            }
        }
    }

    fn slot(&mut self) -> U256 {
        if self.chance(95) { U256::from(self.random.below(6)) } else { self.number() }
    }

    /// Takes one word from the stack.
    fn sink(&mut self) -> Part {
        match self.random.below(100) {
            0..30 => vec![Item::Byte(POP)],
            30..60 => vec![Item::Push(self.place()), Item::Byte(MSTORE)],
            60..64 => vec![Item::Push(self.place()), Item::Byte(MSTORE8)],
            64..92 => vec![Item::Push(self.slot()), Item::Byte(SSTORE)],
            _ => vec![Item::Push(self.slot()), Item::Byte(TSTORE)],
        }
    }

    fn computation(&mut self) -> Part {
        let mut part = self.source();
        for _ in 0..=self.random.index(4) {
            match self.random.below(10) {
                0..7 => {
                    part.extend(self.source());
                    part.push(Item::Byte(self.pick(&BINARY)));
                }
                7..9 => part.push(Item::Byte(self.pick(&UNARY))),
                _ => {
                    part.extend(self.source());
                    part.extend(self.source());
                    part.push(Item::Byte(self.pick(&TERNARY)));
                }
            }
        }
        part.extend(self.sink());
        part
    }

    fn storage(&mut self) -> Part {
        let mut part = self.source();
        let opcode = if self.chance(75) { SSTORE } else { TSTORE };
        part.extend([Item::Push(self.slot()), Item::Byte(opcode)]);
        part
    }

    fn memory(&mut self) -> Part {
        let (to, from, length) = (self.place(), self.place(), self.length());
        let copies = [0x37, 0x39, 0x3e, MCOPY];
        match self.random.below(10) {
            0..6 => vec![Item::Push(length), Item::Push(from), Item::Push(to), Item::Byte(self.pick(&copies))],
            // RETURNDATACOPY of exactly what there is.
            6..8 => vec![Item::Byte(0x3d), Item::Push(U256::ZERO), Item::Push(to), Item::Byte(0x3e)],
            _ => {
                let mut part = vec![Item::Push(length), Item::Push(from), Item::Byte(0x20)];
                part.extend(self.sink());
                part
            }
        }
    }

    /// Reads an account: BALANCE, EXTCODESIZE, EXTCODEHASH, EXTCODECOPY.
    fn account(&mut self) -> Part {
        let target = Item::PushTarget(self.target());
        if self.chance(25) {
            let (to, from, length) = (self.place(), self.place(), self.length());
            return vec![Item::Push(length), Item::Push(from), Item::Push(to), target, Item::Byte(0x3c)];
        }
        let mut part = vec![target, Item::Byte(self.pick(&[0x31, 0x3b, 0x3f]))];
        part.extend(self.sink());
        part
    }

    fn call(&mut self) -> Part {
        let opcode = self.pick(&[CALL, CALL, CALL, CALLCODE, DELEGATECALL, STATICCALL]);
        let mut part = Vec::new();
        if self.chance(30) {
            part.extend(self.source());
            part.extend([Item::Push(U256::ZERO), Item::Byte(MSTORE)]);
        }
        let (out_length, out, in_length, input) = (self.length(), self.place(), self.length(), self.place());
        part.extend([out_length, out, in_length, input].map(Item::Push));
        if matches!(opcode, CALL | CALLCODE) {
            let value = if self.chance(60) { U256::ZERO } else { U256::from(self.random.below(20)) };
            part.push(Item::Push(value));
        }
        part.push(Item::PushTarget(self.target()));
        match self.random.below(10) {
            0..6 => part.push(Item::Byte(GAS)),
            6..9 => part.push(Item::Push(U256::from(self.random.below(60_000)))),
            _ => part.push(Item::Push(self.number())),
        }
        part.push(Item::Byte(opcode));
        part.extend(self.sink());
        part
    }

    /// Creates a contract by an init code of up to 32 bytes, and sometimes calls it.
    fn creation(&mut self) -> Part {
        let init = self.small_init_code();
        let at = U256::from(self.random.below(64));
        let mut word = [0; 32];
        word[..init.len()].copy_from_slice(&init);
        let mut part = vec![Item::Push(U256::from_be_bytes(word)), Item::Push(at), Item::Byte(MSTORE)];
        let is_second = self.chance(50);
        if is_second {
            part.push(Item::Push(U256::from(self.random.below(3))));
        }
        let length = if self.chance(95) { U256::from(init.len()) } else { self.length() };
        let value = if self.chance(70) { U256::ZERO } else { U256::from(self.random.below(10)) };
        part.extend([Item::Push(length), Item::Push(at), Item::Push(value)]);
        part.push(Item::Byte(if is_second { CREATE2 } else { CREATE }));
        if self.chance(50) {
            part.extend([const { Item::Byte(0x5f) }; 5]);
            part.extend([Item::Byte(DUP6), Item::Byte(GAS), Item::Byte(CALL), Item::Byte(POP)]);
        }
        part.extend(self.sink());
        part
    }

    /// Makes init code that leaves little: a byte or two of code, nothing, or a failure.
    fn small_init_code(&mut self) -> Vec<u8> {
        let byte = |generator: &mut Self| u8::try_from(generator.random.below(256)).unwrap_or_default();
        let code = self.pick(&[0x00, 0x30, 0x5b, INVALID, 0xef]);
        match self.random.below(10) {
            // MSTORE8 of one byte of code, RETURN of it.
            0..3 => vec![0x60, code, 0x5f, MSTORE8, 0x60, 1, 0x5f, RETURN],
            // Code that destroys itself in favour of its caller.
            3..5 => vec![0x61, 0x33, SELFDESTRUCT, 0x5f, MSTORE, 0x60, 2, 0x60, 30, RETURN],
            // A write to the storage, and no code.
            5 => vec![0x60, byte(self), 0x60, byte(self), SSTORE],
            6 => vec![0x33, SELFDESTRUCT],
            7 => vec![0x60, 32, 0x5f, REVERT],
            8 => vec![INVALID],
            // As many zero bytes of code as there is gas for, or more than a contract may have.
            _ => vec![0x61, byte(self), byte(self), 0x5f, RETURN],
        }
    }

    fn log(&mut self) -> Part {
        let topics = self.random.index(5);
        let mut part = Vec::new();
        for _ in 0..topics {
            part.extend(self.source());
        }
        part.extend([Item::Push(self.length()), Item::Push(self.place())]);
        part.push(Item::Byte(LOG0 + u8::try_from(topics).unwrap_or_default()));
        part
    }

    /// Makes a condition or a loop of up to four rounds.
    fn branch(&mut self, depth: u32) -> Part {
        self.labels += 1;
        let label = self.labels;
        let mut body = Vec::new();
        for _ in 0..=self.random.index(2) {
            body.extend(self.part(depth + 1));
        }
        let mut part;
        if self.chance(60) {
            part = self.source();
            part.extend([Item::PushLabel(label), Item::Byte(JUMPI)]);
            part.extend(body);
            part.push(Item::Label(label));
        } else {
            part = vec![Item::Push(U256::from(1 + self.random.below(4))), Item::Label(label)];
            part.extend(body);
            part.extend([Item::Push(U256::ONE), Item::Byte(SWAP1), Item::Byte(0x03), Item::Byte(DUP1)]);
            part.extend([Item::PushLabel(label), Item::Byte(JUMPI), Item::Byte(POP)]);
        }
        part
    }

    /// Makes what no compiler does: any bytes, a jump to anywhere.
    fn junk(&mut self) -> Part {
        if self.chance(30) {
            return vec![Item::Push(U256::from(self.random.below(300))), Item::Byte(JUMP)];
        }
        let count = 1 + self.random.index(3);
        (0..count).map(|_| Item::Byte(u8::try_from(self.random.below(256)).unwrap_or_default())).collect()
    }

    fn end(&mut self) -> Part {
        let (length, place) = (self.length(), U256::from(self.random.below(100)));
        match self.random.below(100) {
            0..25 => vec![Item::Byte(0x00)],
            25..70 => vec![Item::Push(length), Item::Push(place), Item::Byte(RETURN)],
            70..82 => vec![Item::Push(length), Item::Push(place), Item::Byte(REVERT)],
            82..86 => vec![Item::Byte(INVALID)],
            86..92 => vec![Item::PushTarget(self.target()), Item::Byte(SELFDESTRUCT)],
            _ => Vec::new(),
        }
    }

    fn transaction(&mut self) -> Planned {
        let to = match self.random.below(100) {
            0..76 => To::Target(Target::Contract(self.random.index(self.contracts))),
            76..86 => To::Create(Program { parts: self.parts(1, 4) }),
            _ => To::Target(self.target()),
        };
        let can_delegate = matches!(to, To::Target(_));
        let fee = match self.random.below(10) {
            0..2 => Fee::Legacy,
            2..4 => Fee::AccessList,
            4..8 => Fee::Dynamic,
            _ if can_delegate => Fee::Delegating,
            _ => Fee::Dynamic,
        };
        let authorizations = match fee {
            Fee::Delegating => (0..=self.random.index(2)).map(|_| self.authorization()).collect(),
            _ => Vec::new(),
        };
        let access_list = match fee {
            Fee::Legacy => Vec::new(),
            _ => (0..self.random.index(3)).map(|_| self.access()).collect(),
        };
        Planned {
            sender: self.random.index(SENDERS),
            to,
            fee,
            value: if self.chance(60) { U256::ZERO } else { U256::from(self.random.below(1000)) },
            input: self.input(),
            gas: 150_000 + self.random.below(250_000),
            access_list,
            authorizations,
        }
    }

    fn input(&mut self) -> Bytes {
        let length = self.random.index(100);
        let byte = |generator: &mut Self| match generator.chance(40) {
            true => 0,
            false => u8::try_from(generator.random.below(256)).unwrap_or_default(),
        };
        (0..length).map(|_| byte(self)).collect::<Vec<_>>().into()
    }

    fn access(&mut self) -> (Target, Vec<U256>) {
        let slots = (0..self.random.index(3)).map(|_| self.slot()).collect();
        (self.target(), slots)
    }

    fn authorization(&mut self) -> Authorization {
        let chain_id = match self.random.below(10) {
            0..6 => None,
            6..9 => Some(0),
            _ => Some(99),
        };
        Authorization {
            authority: self.random.index(AUTHORITIES),
            to: self.target(),
            chain_id,
            nonce: if self.chance(80) { self.random.below(2) } else { self.random.below(4) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_a_number_name_a_case() {
        assert_eq!(case(1, 2, Blocks::Equal), case(1, 2, Blocks::Equal));
        assert_ne!(case(1, 2, Blocks::Equal), case(1, 3, Blocks::Equal));
        assert_ne!(case(1, 2, Blocks::Equal), case(2, 2, Blocks::Equal));
    }

    #[test]
    fn nothing_is_read_that_differs() {
        for blocks in [Blocks::Equal, Blocks::Own] {
            for number in 0..200 {
                let case = case(7, number, blocks);
                let parts = case.contracts.iter().flat_map(|contract| &contract.runtime.parts);
                // Junk may be anything; it is looked at when the code is assembled.
                for part in parts.filter(|part| part.len() > 3) {
                    let found = part.iter().find(|item| blocks.forbidden().iter().any(|op| **item == Item::Byte(*op)));
                    assert_eq!(found, None, "{part:?}");
                }
            }
        }
    }
}
