//! Lines of a log that were lost, since a disk is full or a reader does not read.

/// A log that can lose lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lossy {
    /// The access log.
    Access = 0,
    /// The log on standard error.
    Log = 1,
}

/// How many lines were lost, and how the last of them was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// How many.
    pub lines: u64,
    /// The number of the last error; 0 when it is not known. See errno(3).
    pub errno: i32,
    /// When that was (CLOCK_MONOTONIC, ns).
    pub at_ns: u64,
}

impl Losses {
    /// Adds what was lost elsewhere. What a worker says is a claim: a sum that it has made too large stays at its most.
    pub fn add(&mut self, other: Self) {
        self.lines = self.lines.saturating_add(other.lines);
        if other.lines > 0 && other.at_ns >= self.at_ns {
            (self.errno, self.at_ns) = (other.errno, other.at_ns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_is_that_of_the_last_loss() {
        let mut all = Losses::default();
        for (lines, errno, at_ns, want) in [(2, 28, 50, 28), (3, 32, 40, 28), (0, 11, 90, 28), (u64::MAX, 5, 60, 5)] {
            all.add(Losses { lines, errno, at_ns });
            assert_eq!(all.errno, want);
        }
        assert_eq!((all.lines, all.at_ns), (u64::MAX, 60));
    }
}
