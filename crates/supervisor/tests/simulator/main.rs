//! The deterministic simulator: thousands of random schedules, the laws of the design checked after each step.
//!
//! A seed stands for a schedule of what befalls the server, and for the fate of each process. When a law is broken, the
//! incidents that do not matter are taken out one by one, and what is left is printed. To see such a run step by step:
//!
//! ```text
//! LICORNE_SIM_SEED=4711 LICORNE_SIM_KEEP=3,7,12 cargo test -p supervisor --test simulator -- --nocapture
//! ```
//!
//! Without `LICORNE_SIM_KEEP` all incidents of the seed happen. `LICORNE_SIM_SEEDS=1000000` runs that many seeds.

#![allow(clippy::unwrap_used, reason = "a simulator that panics has found something")]

mod admin;
mod beside;
mod between;
mod causes;
mod dice;
mod incidents;
mod laws;
mod process;
mod recycling;
mod reforks;
mod schedule;
mod services;
mod trials;
mod workers;
mod world;

use std::cell::RefCell;
use std::fmt::Write as _;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, thread};

use schedule::Schedule;
use world::World;

const SEEDS: u64 = 30_000;

thread_local! {
    static COMPLAINT: RefCell<String> = const { RefCell::new(String::new()) };
}

#[test]
fn laws_hold_on_random_schedules() {
    panic::set_hook(Box::new(|complaint| COMPLAINT.set(complaint.to_string())));
    if let Some(seed) = number("LICORNE_SIM_SEED") {
        replay(seed);
        return;
    }
    let (next, seeds) = (AtomicU64::new(0), number("LICORNE_SIM_SEEDS").unwrap_or(SEEDS));
    let runner = || -> Option<u64> {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return None;
            }
            if run(&Schedule::new(seed), false).is_err() {
                next.store(seeds, Ordering::Relaxed);
                return Some(seed);
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let failed = thread::scope(|scope| {
        let runners: Vec<_> = (0..threads).map(|_| scope.spawn(runner)).collect();
        runners.into_iter().filter_map(|runner| runner.join().unwrap()).min()
    });
    if let Some(seed) = failed {
        let report = report(seed);
        let _ = panic::take_hook();
        panic!("{report}");
    }
}

/// Runs one schedule. Returns the complaint of the law that was broken, and what happened when that is asked for.
fn run(schedule: &Schedule, trace: bool) -> Result<Vec<String>, (String, Vec<String>)> {
    let mut world = World::new(schedule, trace);
    match panic::catch_unwind(AssertUnwindSafe(|| world.run())) {
        Ok(()) => Ok(world.trace()),
        Err(_) => Err((COMPLAINT.take(), world.trace())),
    }
}

/// Takes out of a failing schedule what does not matter, and tells the rest.
fn report(seed: u64) -> String {
    let full = Schedule::new(seed);
    let place = |schedule: &Schedule| {
        run(schedule, false).err().map(|(complaint, _)| complaint.lines().next().map(String::from))
    };
    let (mut keep, broken): (Vec<usize>, _) = ((0..full.incidents.len()).collect(), place(&full));
    loop {
        let shorter = (0..keep.len()).rev().find_map(|out| {
            let mut fewer = keep.clone();
            fewer.remove(out);
            (place(&only(&full, &fewer)) == broken).then_some(fewer)
        });
        match shorter {
            Some(fewer) => keep = fewer,
            None => break,
        }
    }
    let least = only(&full, &keep);
    let (complaint, trace) = run(&least, true).expect_err("it failed before");
    let mut text = format!("seed {seed}: {complaint}\n{:#?}\nfirst {:?}\n", least.config, least.first);
    for (at, incident) in &least.incidents {
        let _ = writeln!(text, "{:>9.6} s  {incident:?}", at.0 as f64 / 1e9);
    }
    let _ = writeln!(text, "the last steps:");
    for line in &trace[trace.len().saturating_sub(60)..] {
        let _ = writeln!(text, "{line}");
    }
    let keep: Vec<_> = keep.iter().map(ToString::to_string).collect();
    let keep = if keep.is_empty() { "none".to_string() } else { keep.join(",") };
    let _ = write!(
        text,
        "replay: LICORNE_SIM_SEED={seed} LICORNE_SIM_KEEP={keep} cargo test -p supervisor --test simulator -- --nocapture"
    );
    text
}

/// The schedule with these incidents only.
fn only(full: &Schedule, keep: &[usize]) -> Schedule {
    let incidents = keep.iter().map(|index| full.incidents[*index]).collect();
    Schedule { incidents, ..full.clone() }
}

fn replay(seed: u64) {
    let full = Schedule::new(seed);
    let schedule = match env::var("LICORNE_SIM_KEEP") {
        Ok(list) => only(&full, &list.split(',').filter_map(|index| index.parse().ok()).collect::<Vec<_>>()),
        Err(_) => full,
    };
    let (trace, complaint) = match run(&schedule, true) {
        Ok(trace) => (trace, None),
        Err((complaint, trace)) => (trace, Some(complaint)),
    };
    let _ = panic::take_hook();
    println!("{:#?}\nfirst {:?}", schedule.config, schedule.first);
    trace.iter().for_each(|line| println!("{line}"));
    assert!(complaint.is_none(), "seed {seed}: {}", complaint.unwrap_or_default());
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}
