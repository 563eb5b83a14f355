//! A line: the code and settings that one reload brought, and where workers of it come from.

use serde::{Deserialize, Serialize};

use crate::back_off::BackOff;
use crate::time::Instant;
use crate::types::{Canary, Generation, Plan};

/// What one reload (or the boot) brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// The generation that the reload started. It names the line.
    pub(crate) edition: Generation,
    /// The mold that new workers come from, or came from when it is lost. The same as `edition` unless a mold of this
    /// line was lost.
    pub(crate) generation: Generation,
    /// Its settings.
    pub(crate) plan: Plan,
    /// Whether a mold is there.
    pub(crate) source: Source,
    /// How often molds of this line were lost in a row.
    pub(crate) back_off: BackOff,
    /// How often a worker has become its mold.
    #[serde(default)]
    pub(crate) warmth: Warmth,
}

/// What became of the reforks of some code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Warmth {
    /// The edition of the line that brought the code; `None` when that is this one.
    pub(crate) code: Option<Generation>,
    /// How many there were since.
    pub(crate) reforks: u32,
    /// So many requests of a worker do not count: one has failed after them.
    pub(crate) spent: u64,
    /// How often one has failed in a row.
    pub(crate) back_off: BackOff,
}

/// Where new workers of a line come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    /// The mold of [`Line::generation`] forks.
    Ready,
    /// That mold is lost, this one boots in its place.
    Booting(Generation),
    /// That mold is lost.
    Lost,
}

impl Line {
    pub(crate) fn new(generation: Generation, plan: Plan) -> Self {
        let (source, back_off, warmth) = (Source::Ready, BackOff::default(), Warmth::default());
        Self { edition: generation, generation, plan, source, back_off, warmth }
    }

    /// The line of the same code whose mold was forked by a worker of this one.
    pub(crate) fn reforked(&self, generation: Generation) -> Self {
        let reforks = self.warmth.reforks.saturating_add(1);
        let warmth = Warmth { code: Some(self.code()), reforks, ..Warmth::default() };
        Self { warmth, ..Self::new(generation, self.plan) }
    }

    /// The generation of the reload that brought the code.
    pub(crate) fn code(&self) -> Generation {
        self.warmth.code.unwrap_or(self.edition)
    }

    /// How many workers may live beyond the wanted ones. A roll needs one at least.
    pub(crate) fn surge(&self) -> usize {
        self.plan.surge.max(1) as usize
    }
}

/// A line whose mold is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Previous {
    pub(crate) line: Line,
    /// Until when.
    pub(crate) until: Instant,
}

/// How far a roll goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reach {
    /// To each slot.
    All,
    /// To the first slots, for now.
    Canary {
        /// How they are tried.
        plan: Canary,
        /// When they have been, once all of them serve.
        until: Option<Instant>,
    },
}

impl From<Option<Canary>> for Reach {
    fn from(canary: Option<Canary>) -> Self {
        canary.map_or(Self::All, |plan| Self::Canary { plan, until: None })
    }
}
