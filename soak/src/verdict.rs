//! Whether what a client saw is what it must see.

use std::time::{Duration, Instant};

use crate::{
    history::History,
    plan::{Act, Fault, Manner, Model, Wanted},
};

/// An answer, whatever it came over.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) model: String,
    pub(crate) version: String,
    pub(crate) id: String,
    /// The sums, a row each.
    pub(crate) y: Vec<f32>,
    /// Twice the sums.
    pub(crate) twice: Vec<f32>,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum End {
    Answered(Answer),
    /// Status (HTTP's, or what stands for it in gRPC) and sentence.
    Refused(u16, String),
    /// The connection ended without an answer.
    Closed(String),
    /// The client did not wait for one.
    Left,
}

/// A request as it went.
pub(crate) struct Seen<'a> {
    pub(crate) act: &'a Act,
    pub(crate) id: &'a str,
    /// The number that [`Wanted::Number`] came to.
    pub(crate) number: Option<u32>,
    pub(crate) asked: Instant,
    pub(crate) ended: Instant,
    pub(crate) end: &'a End,
}

/// What a busy machine may add to a deadline.
const SLACK: Duration = Duration::from_secs(3);

/// What must hold for one request.
///
/// # Errors
/// A sentence saying what does not.
pub(crate) fn judge(seen: &Seen<'_>, history: &History) -> Result<(), String> {
    let Seen { act, id, number, asked, ended, end } = seen;
    let took = *ended - *asked;
    if let Some(timeout) = act.timeout
        && !matches!(end, End::Left)
        && took > timeout + SLACK
    {
        return Err(format!("an answer {took:?} behind a request with a timeout of {timeout:?}"));
    }
    match end {
        End::Left => Ok(()),
        End::Closed(reason) => match act.manner {
            // A server may take a client that closes its half for one that has gone.
            Manner::HalfCloses | Manner::Stalls => Ok(()),
            _ => Err(format!("no answer: {reason}")),
        },
        End::Refused(status, sentence) => refused(act, *status, took).map_err(|why| format!("{why}: {sentence}")),
        End::Answered(answer) => {
            if matches!(act.manner, Manner::Garbage | Manner::Stalls) {
                return Err("an answer to what was no request".to_owned());
            }
            if act.fault != Fault::None {
                return Err("an answer where the model was told to fail".to_owned());
            }
            if answer.id != *id || answer.model != act.model.name() {
                return Err(format!("a foreign answer: expected id {id} of '{}', got {answer:?}", act.model.name()));
            }
            let version = answer.version.parse().map_err(|_| format!("no version in {answer:?}"))?;
            let offset = history.judge(act.model, act.wanted, *number, version, (*asked, *ended))?;
            let expected: Vec<f32> = act.rows.iter().map(|row| f32::from(*row) + offset).collect();
            let twice: Vec<f32> = expected.iter().map(|y| 2.0 * y).collect();
            if answer.y != expected || answer.twice != twice {
                return Err(format!("a foreign answer: expected {expected:?} of version {version}, got {answer:?}"));
            }
            Ok(())
        }
    }
}

fn refused(act: &Act, status: u16, took: Duration) -> Result<(), String> {
    let missing = match (act.model, act.wanted) {
        // Taken out of service at times.
        (Model::Coming, _) | (Model::Moving, Wanted::Alias(_) | Wanted::Number(_)) => true,
        (Model::Moving, Wanted::Default) | (Model::Steady | Model::Faulty | Model::Slow, _) => false,
    };
    let expected = match status {
        400 => act.manner == Manner::Garbage,
        404 => missing,
        408 => act.manner == Manner::Stalls,
        500 => act.model == Model::Faulty,
        503 => missing || act.timeout.is_some(),
        // Sooner when the server sees that it will not do.
        504 => act.timeout.is_some(),
        _ => false,
    };
    if expected { Ok(()) } else { Err(format!("status {status} after {took:?}, for which there is no reason")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;

    #[test]
    fn a_foreign_answer_and_a_refusal_without_reason_are_found() {
        let history = History::default();
        let asked = Instant::now();
        history.publishes(Model::Steady, 1, 65_536.0, asked);
        let mut act = Plan::new(0, 0).next();
        act.model = Model::Steady;
        act.wanted = Wanted::Default;
        act.manner = Manner::Plain;
        act.fault = Fault::None;
        act.rows = vec![3, 4];
        act.timeout = None;
        let own = Answer {
            model: "steady".to_owned(),
            version: "1".to_owned(),
            id: "a".to_owned(),
            y: vec![65_539.0, 65_540.0],
            twice: vec![131_078.0, 131_080.0],
        };
        let judge_end = |act: &Act, end: &End| {
            let ended = Instant::now();
            judge(&Seen { act, id: "a", number: None, asked, ended, end }, &history)
        };
        assert_eq!(judge_end(&act, &End::Answered(own.clone())), Ok(()));
        let others = [
            Answer { id: "b".to_owned(), ..own.clone() },
            Answer { version: "2".to_owned(), ..own.clone() },
            Answer { y: vec![65_540.0, 65_539.0], ..own.clone() },
            Answer { twice: Vec::new(), ..own },
        ];
        for other in others {
            assert!(judge_end(&act, &End::Answered(other)).is_err());
        }
        for status in [400, 404, 408, 429, 500, 503, 504] {
            assert!(judge_end(&act, &End::Refused(status, String::new())).is_err(), "{status}");
        }
        assert!(judge_end(&act, &End::Closed(String::new())).is_err());
        act.timeout = Some(Duration::ZERO);
        assert_eq!(judge_end(&act, &End::Refused(504, String::new())), Ok(()));
    }
}
