//! What directives are chosen from.

use crate::settings::choice;

choice! {
    /// What SIGTERM means.
    TermSignal {
        /// The running requests are finished.
        Graceful = "graceful",
        /// Workers leave at once.
        Quick = "quick",
    }
}

choice! {
    /// How a new program is brought in.
    UpgradeWay {
        /// In place under a supervisor that watches the process id, else two masters.
        Auto = "auto",
        /// A second master beside the old one.
        TwoMasters = "two_masters",
        /// In the place of the old one, under the same process id.
        InPlace = "in_place",
    }
}

choice! {
    /// Which idle worker gets a new connection.
    Balance {
        /// The first in a fixed order: as few work as the load needs, and their caches are warm.
        Warm = "warm",
        /// Each in its turn.
        Even = "even",
    }
}

choice! {
    /// When workers are forked anew from one of them.
    Refork {
        /// After so many requests as `refork_after` says.
        Counted = "counted",
        /// When enough would be won.
        Auto = "auto",
    }
}

choice! {
    /// When all garbage is collected.
    GarbageTime {
        /// When Ruby finds it time.
        Automatic = "automatic",
        /// When the worker is in no request.
        BetweenRequests = "between_requests",
    }
}
