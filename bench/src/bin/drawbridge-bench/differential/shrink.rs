//! Makes a failing case smaller: transactions and parts of programs are left out as long as it still fails.

use crate::differential::case::{Case, To};
use crate::differential::program::Part;

/// Returns all cases that are this one with something left out, the ones with the most left out first.
pub(crate) fn smaller(case: &Case) -> Vec<Case> {
    let mut found = Vec::new();
    for keep in halves(case.transactions.len()) {
        let mut smaller = case.clone();
        retain(&mut smaller.transactions, &keep);
        found.push(smaller);
    }
    for index in 0..case.contracts.len() {
        let lists: [fn(&mut Case, usize) -> &mut Vec<Part>; 2] = [
            |case, index| &mut case.contracts[index].runtime.parts,
            |case, index| &mut case.contracts[index].constructor.parts,
        ];
        for list in lists {
            let length = list(&mut case.clone(), index).len();
            for keep in halves(length) {
                let mut smaller = case.clone();
                retain(list(&mut smaller, index), &keep);
                found.push(smaller);
            }
        }
    }
    for index in 0..case.transactions.len() {
        let planned = &case.transactions[index];
        let parts = if let To::Create(program) = &planned.to { program.parts.len() } else { 0 };
        for keep in halves(parts) {
            let mut smaller = case.clone();
            if let To::Create(program) = &mut smaller.transactions[index].to {
                retain(&mut program.parts, &keep);
            }
            found.push(smaller);
        }
        if !planned.access_list.is_empty() {
            let mut smaller = case.clone();
            smaller.transactions[index].access_list.clear();
            found.push(smaller);
        }
        if !planned.input.is_empty() {
            let mut smaller = case.clone();
            smaller.transactions[index].input = Default::default();
            found.push(smaller);
        }
    }
    found
}

/// Returns which items are kept: all but a half, all but a quarter, … all but one.
fn halves(length: usize) -> Vec<Vec<bool>> {
    let mut found = Vec::new();
    let mut size = length.div_ceil(2);
    while size > 0 {
        for start in (0..length).step_by(size) {
            found.push((0..length).map(|index| index < start || index >= start + size).collect());
        }
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
    found
}

fn retain<T>(items: &mut Vec<T>, keep: &[bool]) {
    let mut keep = keep.iter();
    items.retain(|_| keep.next().copied().unwrap_or(true));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differential::generate::{self, Blocks};

    #[test]
    fn something_is_left_out_of_each() {
        let case = generate::case(3, 4, Blocks::Equal);
        let smaller = smaller(&case);
        assert!(!smaller.is_empty());
        assert!(smaller.iter().all(|one| *one != case));
    }

    #[test]
    fn halves_end_with_single_items() {
        assert_eq!(halves(0), Vec::<Vec<bool>>::new());
        assert_eq!(halves(1), vec![vec![false]]);
        let all = halves(5);
        assert_eq!(all[0], [false, false, false, true, true]);
        assert_eq!(all[all.len() - 1], [true, true, true, true, false]);
    }
}
