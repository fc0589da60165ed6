//! What was live when, so that an answer can be judged: it must come from a version that was meant at some moment between
//! its request and its answer.
//!
//! Times are generous on both sides: a version is live from before it is published until after the change that took it away
//! has returned.

use std::{
    collections::{BTreeSet, HashMap},
    time::Instant,
};

use parking_lot::RwLock;

use crate::plan::{Model, Wanted};

/// The alias that requests without a version mean.
pub(crate) const CHAMPION: &str = "champion";

/// A time that may still go on.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: Instant,
    until: Option<Instant>,
}

impl Span {
    fn meets(&self, asked: Instant, answered: Instant) -> bool {
        self.from <= answered && self.until.is_none_or(|until| until >= asked)
    }
}

/// What an alias named, and when; no version where it named none.
type Named = Vec<(Option<u32>, Span)>;

#[derive(Debug, Default)]
struct Facts {
    /// By model and number: what it adds to its answers, and when it was live.
    versions: HashMap<(Model, u32), (f32, Vec<Span>)>,
    /// By model and alias.
    aliases: HashMap<(Model, &'static str), Named>,
    newest: HashMap<Model, u32>,
}

/// What was live when.
#[derive(Debug, Default)]
pub(crate) struct History {
    facts: RwLock<Facts>,
}

impl History {
    /// A version is about to be published that will be live.
    pub(crate) fn publishes(&self, model: Model, version: u32, offset: f32, from: Instant) {
        let mut facts = self.facts.write();
        facts.versions.insert((model, version), (offset, vec![Span { from, until: None }]));
        let newest = facts.newest.entry(model).or_default();
        *newest = version.max(*newest);
    }

    /// A version may be live again from now on.
    pub(crate) fn returns(&self, model: Model, version: u32) {
        if let Some((_offset, spans)) = self.facts.write().versions.get_mut(&(model, version))
            && spans.last().is_none_or(|span| span.until.is_some())
        {
            spans.push(Span { from: Instant::now(), until: None });
        }
    }

    /// None but `ready` are live any more.
    pub(crate) fn keeps(&self, model: Model, ready: &BTreeSet<u32>) {
        let now = Instant::now();
        for ((of, version), (_offset, spans)) in &mut self.facts.write().versions {
            if *of == model
                && !ready.contains(version)
                && let Some(span) = spans.last_mut()
            {
                span.until.get_or_insert(now);
            }
        }
    }

    /// An alias may name `version` from now on; what it named before is over when [`History::named`] says so.
    pub(crate) fn names(&self, model: Model, alias: &'static str, version: Option<u32>) {
        let span = Span { from: Instant::now(), until: None };
        self.facts.write().aliases.entry((model, alias)).or_default().push((version, span));
    }

    /// An alias names `version` and nothing else.
    pub(crate) fn named(&self, model: Model, alias: &'static str, version: Option<u32>) {
        let now = Instant::now();
        let mut facts = self.facts.write();
        let spans = facts.aliases.entry((model, alias)).or_default();
        for (named, span) in spans.iter_mut() {
            if *named != version {
                span.until.get_or_insert(now);
            }
        }
        if !spans.iter().any(|(named, span)| *named == version && span.until.is_none()) {
            spans.push((version, Span { from: now, until: None }));
        }
    }

    /// The number that is `back` behind the newest.
    pub(crate) fn number(&self, model: Model, back: u32) -> u32 {
        self.facts.read().newest.get(&model).copied().unwrap_or(1).saturating_sub(back).max(1)
    }

    /// Forgets what ended before `before`.
    pub(crate) fn forget(&self, before: Instant) {
        let mut facts = self.facts.write();
        let recent = |span: &Span| span.until.is_none_or(|until| until >= before);
        facts.versions.retain(|_key, (_offset, spans)| {
            spans.retain(recent);
            !spans.is_empty()
        });
        for spans in facts.aliases.values_mut() {
            spans.retain(|(_version, span)| recent(span));
        }
    }

    /// What version `version` adds to its answers, if it may have answered.
    ///
    /// # Errors
    /// A sentence saying why it may not.
    pub(crate) fn judge(
        &self,
        model: Model,
        wanted: Wanted,
        asked_number: Option<u32>,
        version: u32,
        (asked, answered): (Instant, Instant),
    ) -> Result<f32, String> {
        let facts = self.facts.read();
        let name = model.name();
        let Some((offset, spans)) = facts.versions.get(&(model, version)) else {
            return Err(format!("version {version} of '{name}' answered, which was never live or not for long"));
        };
        if !spans.iter().any(|span| span.meets(asked, answered)) {
            return Err(format!("version {version} of '{name}' answered, which was not live meanwhile: {spans:?}"));
        }
        let named = |alias: &'static str, version: Option<u32>| {
            facts
                .aliases
                .get(&(model, alias))
                .is_some_and(|spans| spans.iter().any(|(named, span)| *named == version && span.meets(asked, answered)))
        };
        let never_named = |alias: &'static str| !facts.aliases.contains_key(&(model, alias));
        let meant = match wanted {
            Wanted::Number(_) => asked_number == Some(version),
            Wanted::Alias(alias) => named(alias, Some(version)),
            Wanted::Default => named(CHAMPION, Some(version)) || named(CHAMPION, None) || never_named(CHAMPION),
        };
        if meant {
            Ok(*offset)
        } else {
            Err(format!("version {version} of '{name}' answered, which {wanted:?} ({asked_number:?}) did not mean"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn answers_of_versions_that_were_not_meant_are_found() {
        let history = History::default();
        let start = Instant::now();
        let at = |millis: u64| start + Duration::from_millis(millis);
        let judge = |wanted, number, version, asked, answered| {
            history.judge(Model::Moving, wanted, number, version, (asked, answered))
        };
        history.publishes(Model::Moving, 1, 10.0, start);
        history.publishes(Model::Moving, 2, 20.0, start);
        history.named(Model::Moving, CHAMPION, Some(1));
        let now = Instant::now();
        assert_eq!(judge(Wanted::Default, None, 1, now, now), Ok(10.0));
        assert!(judge(Wanted::Default, None, 2, now, now).is_err());
        assert_eq!(judge(Wanted::Number(0), Some(2), 2, now, now), Ok(20.0));
        assert!(judge(Wanted::Number(0), Some(2), 1, now, now).is_err());
        assert!(judge(Wanted::Alias("stable"), None, 1, now, now).is_err());
        // While it moves, both are right; afterwards, the new one alone.
        history.names(Model::Moving, CHAMPION, Some(2));
        let now = Instant::now();
        assert!(judge(Wanted::Default, None, 1, now, now).is_ok() && judge(Wanted::Default, None, 2, now, now).is_ok());
        history.named(Model::Moving, CHAMPION, Some(2));
        history.keeps(Model::Moving, &BTreeSet::from([2]));
        let later = at(60_000);
        assert!(judge(Wanted::Default, None, 1, later, later).is_err());
        assert!(judge(Wanted::Number(1), Some(1), 1, later, later).unwrap_err().contains("not live"));
        assert!(judge(Wanted::Number(1), Some(1), 1, now, later).is_ok());
        assert!(judge(Wanted::Default, None, 3, now, now).is_err());
    }
}
