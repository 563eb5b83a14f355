//! Messages between our processes, and the state that an upgrade hands over: anything is refused or understood, and what is understood is sent as it came.
#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use wire::state::State;
use wire::{FromMold, FromWorker, Handoff, Message, ToMold, ToWorker};

fuzz_target!(|bytes: &[u8]| {
    check::<ToMold>(bytes);
    check::<FromMold>(bytes);
    check::<ToWorker>(bytes);
    check::<FromWorker>(bytes);
    if let Ok(handoff) = Handoff::decode(bytes) {
        assert!(Handoff::decode(&handoff.encode()).is_ok());
    }
    if let Ok(state) = State::<u32>::decode(bytes) {
        assert!(state.encode().is_ok_and(|again| State::<u32>::decode(&again).is_ok()));
    }
});

fn check<M: Message + Debug + PartialEq>(bytes: &[u8]) {
    if let Ok(message) = M::decode(bytes) {
        let again = message.encode();
        assert_eq!(M::decode(&again).as_ref(), Ok(&message));
    }
}
