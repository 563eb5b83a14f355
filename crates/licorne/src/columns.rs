//! The columns of the table of workers, in `licorne top` and `licorne status`: what each shows, how wide it is, and how it is sorted by.

use std::cmp::Ordering;

use facts::Worker;
use sys::text::printable;

use crate::interval::Work;
use crate::words::{count, milliseconds, rate, size};

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    Slot,
    Generation,
    Pid,
    State,
    Rate,
    Requests,
    Errors,
    Connections,
    Cpu,
    Gc,
    Rss,
    Pss,
    Private,
    Age,
    Request,
}

/// All of them, from left to right.
pub(crate) const ALL: [Column; 15] = [
    Column::Slot,
    Column::Generation,
    Column::Pid,
    Column::State,
    Column::Rate,
    Column::Requests,
    Column::Errors,
    Column::Connections,
    Column::Cpu,
    Column::Gc,
    Column::Rss,
    Column::Pss,
    Column::Private,
    Column::Age,
    Column::Request,
];

/// Left out one after the other where the terminal is narrow: the line of the selected worker has them.
const LEAST_WANTED: [Column; 9] = [
    Column::Gc,
    Column::Private,
    Column::Connections,
    Column::Requests,
    Column::Rss,
    Column::Pid,
    Column::Errors,
    Column::Pss,
    Column::Generation,
];

/// What the request gets at least, as long as a column can be left out.
const REQUEST_WIDTH: u16 = 22;

/// A worker, and what it did last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    pub(crate) worker: &'a Worker,
    pub(crate) work: Work,
}

impl Column {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Slot => "slot",
            Self::Generation => "gen",
            Self::Pid => "pid",
            Self::State => "state",
            Self::Rate => "req/s",
            Self::Requests => "requests",
            Self::Errors => "5xx",
            Self::Connections => "conn",
            Self::Cpu => "cpu%",
            Self::Gc => "gc%",
            Self::Rss => "rss",
            Self::Pss => "pss",
            Self::Private => "priv",
            Self::Age => "age",
            Self::Request => "request",
        }
    }

    /// The key that sorts by it.
    pub(crate) fn key(self) -> char {
        match self {
            Self::Slot => 'n',
            Self::Generation => 'g',
            Self::Pid => 'p',
            Self::State => 's',
            Self::Rate => 't',
            Self::Requests => 'o',
            Self::Errors => 'e',
            Self::Connections => 'k',
            Self::Cpu => 'c',
            Self::Gc => 'z',
            Self::Rss => 'm',
            Self::Pss => 'u',
            Self::Private => 'v',
            Self::Age => 'a',
            Self::Request => 'x',
        }
    }

    fn width(self) -> u16 {
        match self {
            Self::Generation | Self::Gc => 3,
            Self::Slot | Self::Connections => 4,
            Self::Rate | Self::Errors | Self::Cpu | Self::Rss | Self::Pss | Self::Private => 5,
            Self::Pid => 7,
            Self::Requests | Self::State => 8,
            Self::Age => 9,
            Self::Request => REQUEST_WIDTH,
        }
    }

    /// Words begin at the left, numbers end at the right.
    fn is_text(self) -> bool {
        matches!(self, Self::State | Self::Request)
    }

    /// Whether the largest comes first: what people look for at the top.
    pub(crate) fn descends(self) -> bool {
        !matches!(self, Self::Slot | Self::Generation | Self::Pid | Self::Request)
    }

    /// The text, as wide as the column at least.
    pub(crate) fn padded(self, text: &str) -> String {
        let width = usize::from(self.width());
        if self.is_text() { format!("{text:<width$}") } else { format!("{text:>width$}") }
    }

    pub(crate) fn cell(self, Row { worker, work }: Row<'_>) -> String {
        let memory = |of: fn(&facts::Memory) -> Option<u64>| {
            worker.memory.as_ref().and_then(of).map_or_else(|| "-".to_string(), size)
        };
        match self {
            Self::Slot => worker.slot.to_string(),
            Self::Generation => worker.generation.to_string(),
            Self::Pid => worker.pid.map_or_else(|| "-".to_string(), |pid| pid.to_string()),
            Self::State => worker.state.word().to_string(),
            Self::Rate => rate(work.requests),
            Self::Requests => count(worker.requests),
            Self::Errors => count(worker.server_errors),
            Self::Connections => count(worker.connections),
            Self::Cpu => work.cpu.map_or_else(|| "-".to_string(), |cpu| format!("{cpu:.0}")),
            Self::Gc => work.gc.map_or_else(|| "-".to_string(), |gc| format!("{gc:.0}")),
            Self::Rss => memory(|memory| Some(memory.rss_bytes)),
            Self::Pss => memory(|memory| memory.pss_bytes),
            Self::Private => memory(|memory| memory.private_bytes),
            Self::Age => {
                worker.request.as_ref().map_or_else(String::new, |request| milliseconds(request.age_ms as f64))
            }
            Self::Request => worker.request.as_ref().map_or_else(String::new, |it| printable(&it.line).into_owned()),
        }
    }

    /// In the order in which it is sorted, if it does not [descend](Self::descends).
    pub(crate) fn compare(self, one: Row<'_>, other: Row<'_>) -> Ordering {
        fn memory(row: Row<'_>, of: fn(&facts::Memory) -> Option<u64>) -> Option<u64> {
            row.worker.memory.as_ref().and_then(of)
        }
        let by = |key: fn(Row<'_>) -> Option<u64>| key(one).cmp(&key(other));
        match self {
            Self::Slot => by(|row| Some(row.worker.slot.into())),
            Self::Generation => by(|row| Some(row.worker.generation.into())),
            Self::Pid => by(|row| row.worker.pid.map(u64::from)),
            Self::State => one.worker.state.cmp(&other.worker.state),
            Self::Rate => one.work.requests.total_cmp(&other.work.requests),
            Self::Requests => by(|row| Some(row.worker.requests)),
            Self::Errors => by(|row| Some(row.worker.server_errors)),
            Self::Connections => by(|row| Some(row.worker.connections)),
            Self::Cpu => one.work.cpu.unwrap_or(-1.0).total_cmp(&other.work.cpu.unwrap_or(-1.0)),
            Self::Gc => one.work.gc.unwrap_or(-1.0).total_cmp(&other.work.gc.unwrap_or(-1.0)),
            Self::Rss => by(|row| memory(row, |memory| Some(memory.rss_bytes))),
            Self::Pss => by(|row| memory(row, |memory| memory.pss_bytes)),
            Self::Private => by(|row| memory(row, |memory| memory.private_bytes)),
            Self::Age => by(|row| row.worker.request.as_ref().map(|request| request.age_ms)),
            // Workers without a request come last.
            Self::Request => {
                let line = |row: Row<'_>| row.worker.request.as_ref().map(|request| request.line.clone());
                let (one, other) = (line(one), line(other));
                one.is_none().cmp(&other.is_none()).then(one.cmp(&other))
            }
        }
    }
}

/// Those of these columns that a terminal of this width shows, among them the one that is sorted by.
pub(crate) fn shown(mut columns: Vec<Column>, width: u16, sorted: Column) -> Vec<Column> {
    let taken = |columns: &[Column]| columns.iter().map(|column| column.width() + 1).sum::<u16>() - 1;
    for unwanted in LEAST_WANTED {
        if taken(&columns) > width && unwanted != sorted {
            columns.retain(|column| *column != unwanted);
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;
    use facts::{Request, State};

    #[test]
    fn each_key_means_one_column_and_nothing_else() {
        let mut keys: Vec<char> = ALL.iter().map(|column| column.key()).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), ALL.len());
        assert!(keys.iter().all(|key| !"qbdrhj?".contains(*key)), "{keys:?}");
    }

    #[test]
    fn a_narrow_terminal_shows_what_matters_and_what_is_sorted_by() {
        let titles = |width, sorted| {
            shown(ALL.to_vec(), width, sorted).iter().map(|column| column.title()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(titles(200, Column::Slot).split(' ').count(), ALL.len());
        assert_eq!(titles(80, Column::Slot), "slot gen state req/s 5xx cpu% pss age request");
        assert_eq!(titles(80, Column::Private), "slot gen state req/s 5xx cpu% pss priv age request");
        for width in 68..200 {
            for sorted in ALL {
                let columns = shown(ALL.to_vec(), width, sorted);
                let taken = columns.iter().map(|column| column.width() + 1).sum::<u16>() - 1;
                assert!(taken <= width && columns.contains(&sorted), "{width} {sorted:?}");
            }
        }
    }

    #[test]
    fn cells_fit_their_columns_and_show_no_control_characters() {
        let request = Request { line: "GET /\u{1b}[2J".to_string(), age_ms: 4_000_000_000, id: None };
        let memory = facts::Memory { rss_bytes: 999 << 20, ..facts::Memory::default() };
        let worker = Worker {
            pid: Some(4_194_304),
            state: State::Retiring,
            requests: u64::MAX / 1_000_000_000,
            server_errors: 99_999,
            request: Some(request),
            memory: Some(memory),
            ..Worker::default()
        };
        let row = Row { worker: &worker, work: Work { requests: 12_345.6, cpu: Some(1600.0), gc: Some(100.0) } };
        for column in ALL {
            let cell = column.cell(row);
            assert!(cell.len() <= column.width().into(), "{column:?}: {cell}");
        }
        assert_eq!(Column::Request.cell(row), "GET /\\x1b[2J");
        assert_eq!((Column::Rss.cell(row), Column::Pss.cell(row)), ("999M".to_string(), "-".to_string()));
    }
}
