//! Messages between our processes, and the state that an upgrade hands over: anything is refused or understood, and what is understood is sent as it came.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::state::State;
use wire::{Handoff, Message};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = Message::decode(bytes) {
        let again = message.encode();
        assert_eq!(Message::decode(&again).as_ref(), Ok(&message));
    }
    if let Ok(handoff) = Handoff::decode(bytes) {
        assert!(Handoff::decode(&handoff.encode()).is_ok());
    }
    if let Ok(state) = State::<u32>::decode(bytes) {
        assert!(state.encode().is_ok_and(|again| State::<u32>::decode(&again).is_ok()));
    }
});
