//! Every target on its corpus, and on inputs made of it, the same in every run.
#![cfg(test)]

use fuzz::{Mutator, TARGETS, Target, Verdict, check, read_corpus};

fn holds(target: &Target, input: &[u8]) -> Verdict {
    check(target, input)
        .unwrap_or_else(|reason| panic!("{}: {reason}, for {:?}", target.name, input.escape_ascii().to_string()))
}

/// One test, because memory is counted for the whole process.
#[test]
fn every_target_holds() {
    corpus();
    mutations();
}

fn corpus() {
    for target in &TARGETS {
        let corpus = read_corpus(target).unwrap();
        let accepted = corpus.iter().filter(|input| holds(target, input) == Verdict::Accepted).count();
        assert!(accepted >= 10, "{}: {accepted} of {} are accepted", target.name, corpus.len());
    }
}

fn mutations() {
    for target in &TARGETS {
        let mut mutator = Mutator::new(target, read_corpus(target).unwrap(), 0);
        let mut accepted = 0;
        for _ in 0..target.inputs {
            let input = mutator.next_input();
            let verdict = holds(target, &input);
            accepted += usize::from(verdict == Verdict::Accepted);
            mutator.learn(input, verdict);
        }
        // Inputs that are all refused would test the first lines of a decoder alone.
        assert!(accepted > target.inputs / 200, "{}: {accepted} of {} are accepted", target.name, target.inputs);
        assert!(accepted < target.inputs * 19 / 20, "{}: {accepted} of {} are accepted", target.name, target.inputs);
    }
}
