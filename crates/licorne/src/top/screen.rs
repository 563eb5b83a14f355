//! The view as lines of a terminal of some width: plain characters, bold and reversed, which every terminal has. Colours
//! only say again what words say.

use std::time::Instant;

use crossterm::style::{Attribute, Attributes, Color, ContentStyle, StyledContent};
use facts::{Backtrace, Death, Status};
use sys::text::{printable, printable_lines};

use crate::columns::{ALL, Column, Row, shown};
use crate::top::view::{Page, View};
use crate::words::{ago, count, losses, milliseconds, percentiles, plural, rate, size, span};

/// A line of the screen, in pieces.
pub(crate) type Line = Vec<StyledContent<String>>;

const NORMAL: ContentStyle = ContentStyle {
    foreground_color: None,
    background_color: None,
    underline_color: None,
    attributes: Attributes::none(),
};
const REVERSED: ContentStyle = ContentStyle { attributes: Attributes::none().with(Attribute::Reverse), ..NORMAL };
const BOLD: ContentStyle = ContentStyle { attributes: Attributes::none().with(Attribute::Bold), ..NORMAL };
const ALARM: ContentStyle = ContentStyle { foreground_color: Some(Color::Red), ..BOLD };
const SORTED: ContentStyle = ContentStyle { attributes: REVERSED.attributes.with(Attribute::Bold), ..NORMAL };

/// How many lines tell of the selected worker.
const DETAILS: usize = 3;

/// The last line of each page.
const KEYS: &str = "q quit  ? help  b backtrace  d deaths  < > sort  r reverse  up/down select";
const KEYS_OF_TEXT: &str = "q back  up/down scroll  ? help  b backtrace  d deaths  Ctrl-C quit";

/// The view in this many columns and lines, all of which are there; its scrolling is stopped at the end.
pub(crate) fn lines(view: &mut View, (width, height): (u16, u16), now: Instant) -> Vec<Line> {
    let above_keys = usize::from(height).saturating_sub(1);
    let mut lines = head(view, now);
    lines.push(Line::new());
    let rest = above_keys.saturating_sub(lines.len());
    lines.extend(match view.page.clone() {
        Page::Workers => workers(view, width, rest),
        Page::Help => scrolled(view, (width, rest), "help", help()),
        Page::Deaths(told) => scrolled(view, (width, rest), "deaths, the newest first", deaths(told)),
        Page::Backtrace(slot, told) => {
            scrolled(view, (width, rest), &format!("backtrace of worker {slot}"), backtraces(told))
        }
    });
    lines.resize(above_keys, Line::new());
    lines.push(line(if view.page == Page::Workers { KEYS } else { KEYS_OF_TEXT }, BOLD));
    lines
}

fn line(text: impl Into<String>, style: ContentStyle) -> Line {
    vec![style.apply(text.into())]
}

fn plain(text: impl Into<String>) -> Line {
    line(text, NORMAL)
}

/// What the server does, in seven lines, and one more for what is wrong.
fn head(view: &View, now: Instant) -> Vec<Line> {
    let lost = view.seen.lost.as_ref().map(|(why, since)| {
        let since = span(now.saturating_duration_since(*since).as_secs_f64());
        alarm(format!("no answer since {since}: {}; waiting for a master, q quits", printable(why)))
    });
    let Some((status, _)) = &view.seen.status else {
        return vec![line("licorne top", BOLD), lost.unwrap_or_else(|| plain("asking the master"))];
    };
    let mut lines = vec![title(status), plain(release(status)), throughput(view)];
    lines.extend(waiting(status, view));
    lines.push(plain(strength(status, view)));
    lines.push(plain(died(status)));
    lines.extend(troubles(status));
    lines.extend(lost);
    lines
}

fn title(status: &Status) -> Line {
    let summary = match status.summary.as_str() {
        "" => status.phase.word().to_string(),
        summary => printable(summary).into_owned(),
    };
    let version = printable(&status.version);
    let text = format!("licorne {version} pid {}: {summary}, up {}", status.pid, span(status.uptime_s as f64));
    line(text, BOLD)
}

fn release(status: &Status) -> String {
    let directory = status.release.as_ref().map(|release| {
        let revision = release.revision.as_ref().map_or_else(String::new, |it| format!(" ({})", printable(it)));
        format!("release  {}{revision}, ", printable(&release.directory))
    });
    let generation = status.generation.map_or_else(|| "none yet".to_string(), |generation| generation.to_string());
    let reload = status.last_reload.as_ref().map_or_else(String::new, |last| {
        let how = if last.failure.is_some() { "failed" } else { "succeeded" };
        format!(", last reload {how} {} ago", span(last.age_s as f64))
    });
    format!("{}generation {generation}{reload}", directory.unwrap_or_else(|| "release  ".to_string()))
}

fn throughput(view: &View) -> Line {
    let Some(interval) = &view.seen.interval else { return plain("requests -") };
    plain(format!("requests {}/s  service {}", rate(interval.requests), percentiles(&interval.service)))
}

/// Whether requests wait: in the workers, and in the kernel.
fn waiting(status: &Status, view: &View) -> [Line; 2] {
    let interval = view.seen.interval.as_ref();
    let queue = interval.map_or_else(|| "-".to_string(), |interval| percentiles(&interval.queue));
    let mut queue = vec![NORMAL.apply(format!("queue    {queue}"))];
    if let Some(saturation) = interval.and_then(|interval| interval.saturation) {
        let text = format!("  saturated {:.0}%", saturation * 100.0);
        queue.push(if saturation > 0.5 { ALARM } else { NORMAL }.apply(text));
    }
    let mut backlogs = vec![NORMAL.apply("backlog ".to_string())];
    for backlog in &status.backlogs {
        let waiting = backlog.waiting.map_or_else(|| "-".to_string(), |waiting| waiting.to_string());
        let limit = backlog.limit.map_or_else(String::new, |limit| format!(" of {limit}"));
        let text = format!(" {} {waiting}{limit} ", printable(&backlog.listener));
        backlogs.push(if backlog.waiting > Some(0) { ALARM } else { NORMAL }.apply(text));
    }
    [queue, backlogs]
}

fn strength(status: &Status, view: &View) -> String {
    let of = |state| status.workers.iter().filter(|worker| worker.state == state).count();
    let states = facts::State::ALL.map(|state| (of(state), state.word()));
    let told: Vec<String> =
        states.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    let each = view.seen.interval.iter().flat_map(|interval| interval.workers.values());
    let cpu: Option<f64> = each.filter_map(|work| work.cpu).reduce(|sum, more| sum + more);
    let cpu = cpu.map_or_else(String::new, |cpu| format!("  cpu {cpu:.0}%"));
    let pss: Option<u64> = status.memory.generations.iter().map(|generation| generation.pss_bytes).sum();
    let rss: u64 = status.memory.generations.iter().map(|generation| generation.rss_bytes).sum();
    let memory = match (pss, rss) {
        (_, 0) => String::new(),
        (Some(pss), _) => format!("  memory {} (pss)", size(pss)),
        (None, rss) => format!("  memory {} (rss)", size(rss)),
    };
    let roll = status.roll.map_or_else(String::new, |roll| format!("  replaced {} of {}", roll.done, roll.total));
    format!("workers  {} wanted: {}{cpu}{memory}{roll}", status.worker_processes, told.join(", "))
}

fn died(status: &Status) -> String {
    let causes: Vec<String> =
        status.deaths.by_cause.iter().map(|(cause, count)| format!("{count} {}", cause.word())).collect();
    let causes = if causes.is_empty() { String::new() } else { format!(" ({})", causes.join(", ")) };
    let errors = status.totals.responses.server_error;
    let of = count(status.totals.requests);
    format!("deaths   {}{causes}  errors {} of {of} requests", status.deaths.total, count(errors))
}

fn troubles(status: &Status) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(failure) = status.last_reload.as_ref().and_then(|last| last.failure.as_ref()) {
        lines.push(alarm(format!("last reload: {}", printable(failure))));
    }
    if let Some(warning) = status.release.as_ref().and_then(|release| release.warning.as_ref()) {
        lines.push(alarm(format!("warning: {}", printable(warning))));
    }
    if let Some(trouble) = status.troubles.iter().max_by_key(|trouble| trouble.failures) {
        let next = span(trouble.next_try_ms as f64 / 1000.0);
        let (slot, times) = (trouble.slot, plural(trouble.failures.into(), "time"));
        lines.push(alarm(format!("worker {slot} failed to boot {times} in a row, next try in {next}")));
    }
    lines.extend(losses(&status.logs).map(alarm));
    lines
}

fn alarm(text: String) -> Line {
    line(text, ALARM)
}

/// The table, and a line with all that is known of the selected worker.
fn workers(view: &mut View, width: u16, height: usize) -> Vec<Line> {
    // Titles and the selected worker.
    view.height = height.saturating_sub(1 + DETAILS).max(1);
    let columns = shown(ALL.to_vec(), width, view.sorted.by);
    let rows = view.rows();
    let selected = view.selected(&rows);
    let first = first_shown(view.scrolled, selected, view.height);
    let mut lines = vec![titles(&columns, view)];
    for (place, row) in rows.iter().enumerate().skip(first).take(view.height) {
        let text = columns.iter().map(|column| column.padded(&column.cell(*row))).collect::<Vec<_>>().join(" ");
        let style = if place == selected { REVERSED } else { NORMAL };
        lines.push(line(format!("{text:<width$}", width = width.into()), style));
    }
    if let Some(row) = rows.get(selected) {
        lines.resize(view.height + 1, Line::new());
        lines.extend(details(*row).map(plain));
    }
    view.scrolled = first;
    lines
}

/// The first row of those that are shown, moved as little as it takes to show the selected one.
fn first_shown(before: usize, selected: usize, height: usize) -> usize {
    before.min(selected).max((selected + 1).saturating_sub(height))
}

fn titles(columns: &[Column], view: &View) -> Line {
    let title = |column: &Column| {
        let text = column.padded(column.title());
        if *column == view.sorted.by { SORTED } else { BOLD }.apply(text)
    };
    let mut pieces = Line::new();
    for column in columns {
        if !pieces.is_empty() {
            pieces.push(NORMAL.apply(" ".to_string()));
        }
        pieces.push(title(column));
    }
    pieces
}

fn details(row: Row<'_>) -> [String; DETAILS] {
    let worker = row.worker;
    let cell = |column: Column| column.cell(row);
    let age = worker.memory.as_ref().and_then(|memory| memory.age_s);
    let age = age.filter(|age| *age >= 1.0).map_or_else(String::new, |age| format!(" ({} ago)", span(age)));
    let number = if worker.starts > 1 { format!(" (number {} of its slot)", worker.starts) } else { String::new() };
    let ready = worker.ready_at.map_or_else(String::new, |at| format!(", ready {}{number}", ago(at)));
    let work = format!(
        "pid {}, requests {}, 5xx {}, connections {}, rss {} pss {} private {}{age}{ready}",
        cell(Column::Pid),
        cell(Column::Requests),
        cell(Column::Errors),
        cell(Column::Connections),
        cell(Column::Rss),
        cell(Column::Pss),
        cell(Column::Private),
    );
    let id = |id: &Option<String>| id.as_ref().map_or_else(String::new, |id| format!(" id {}", printable(id)));
    let request = worker.request.as_ref().map(|request| {
        format!("{} for {}{}", printable(&request.line), milliseconds(request.age_ms as f64), id(&request.id))
    });
    let last = worker.last_request.as_ref().map(|last| {
        let (line, took, when) = (printable(&last.line), milliseconds(last.took_ms), ago(last.ended_at));
        let usage = last.cpu_ms.zip(last.allocated).map_or_else(String::new, |(cpu_ms, allocated)| {
            format!(" ({} of processor, {} objects)", milliseconds(cpu_ms), count(allocated))
        });
        format!("last {line} took {took}{usage}, {when}{}", id(&last.id))
    });
    [work, heap(worker), request.or(last).unwrap_or_default()]
}

/// What the worker's heap is like, and what its memory was.
fn heap(worker: &facts::Worker) -> String {
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_string(), count);
    let facts::Gc { minor, major, time_ms, live_slots, free_slots, .. } = worker.gc;
    let time = time_ms.map_or_else(|| "-".to_string(), |ms| milliseconds(ms as f64));
    let bytes = |of: fn(&facts::Memory) -> Option<u64>| {
        worker.memory.as_ref().and_then(of).map_or_else(|| "-".to_string(), size)
    };
    let (peak, swap) = (bytes(|memory| memory.peak_rss_bytes), bytes(|memory| memory.swap_bytes));
    let [minor, major, live, free] = [minor, major, live_slots, free_slots].map(number);
    format!("gc {minor} minor {major} major in {time}, slots {live} live {free} free, peak rss {peak}, swap {swap}")
}

/// The part of a text that is shown, below its title.
fn scrolled(view: &mut View, size: (u16, usize), title: &str, text: Vec<String>) -> Vec<Line> {
    let (width, height) = size;
    let text: Vec<String> = text.iter().flat_map(|line| wrapped(line, width.max(1).into())).collect();
    view.height = height.saturating_sub(1).max(1);
    view.scrolled = view.scrolled.min(text.len().saturating_sub(view.height));
    let (first, last) = (view.scrolled + 1, (view.scrolled + view.height).min(text.len()));
    let place = if text.len() > view.height { format!(" ({first}-{last} of {})", text.len()) } else { String::new() };
    let title = line(format!("{title}{place}"), REVERSED);
    let shown = text.into_iter().skip(view.scrolled).take(view.height).map(plain);
    std::iter::once(title).chain(shown).collect()
}

/// A line in pieces of this many characters.
fn wrapped(line: &str, width: usize) -> Vec<String> {
    let characters: Vec<char> = line.chars().collect();
    let pieces: Vec<String> = characters.chunks(width).map(|piece| piece.iter().collect()).collect();
    if pieces.is_empty() { vec![String::new()] } else { pieces }
}

fn deaths(told: Option<Result<Vec<Death>, String>>) -> Vec<String> {
    let deaths = match told {
        None => return vec!["asking the master".to_string()],
        Some(Err(why)) => return vec![printable(&why).into_owned()],
        Some(Ok(deaths)) if deaths.is_empty() => return vec!["nothing has died".to_string()],
        Some(Ok(deaths)) => deaths,
    };
    deaths.iter().flat_map(death).collect()
}

fn death(death: &Death) -> Vec<String> {
    let which = death.slot.map(|slot| slot.to_string()).or_else(|| death.service.clone());
    let slot = which.map_or_else(String::new, |which| format!(" {}", printable(&which)));
    let generation = death.generation.map_or_else(String::new, |it| format!(" of generation {it}"));
    let what = format!("{}{slot}{generation} (pid {})", death.kind.word(), death.pid);
    let mut lines = vec![format!("{}: {what}: {}: {}", ago(death.at), death.cause.word(), printable(&death.text))];
    if let Some(request) = &death.request {
        let age = death.age_ms.map_or_else(String::new, |age| format!(" for {}", milliseconds(age as f64)));
        lines.push(format!("    in {}{age}", printable(request)));
    }
    if let Some(peak) = death.peak_rss_bytes {
        lines.push(format!("    {} resident at most", size(peak)));
    }
    lines
}

fn backtraces(told: Option<Result<Vec<Backtrace>, String>>) -> Vec<String> {
    let told = match told {
        None => return vec!["asking the worker".to_string()],
        Some(Err(why)) => return vec![printable(&why).into_owned()],
        Some(Ok(told)) if told.is_empty() => return vec!["there is no worker in this slot".to_string()],
        Some(Ok(told)) => told,
    };
    let mut lines = Vec::new();
    for of in told {
        let pid = of.pid.map_or_else(String::new, |pid| format!(" pid {pid}"));
        let slot = of.slot.map_or_else(String::new, |slot| format!(" {slot}"));
        lines.push(format!("worker{slot} of generation {}{pid}", of.generation));
        let missing = || format!("no backtrace: {}", of.missing.as_deref().unwrap_or("it did not answer in time"));
        let text = of.text.clone().unwrap_or_else(missing);
        lines.extend(printable_lines(&text).lines().map(|line| line.replace('\t', "    ")));
    }
    lines
}

fn help() -> Vec<String> {
    let mut lines: Vec<String> = [
        "up, down, page up, page down, home, end: select a worker, or scroll",
        "< > or left, right: sort by another column; r: the other way round",
        "b: where the threads of the selected worker are; d: what died",
        "q or Esc: back, and then quit; Ctrl-C: quit",
        "",
        "Rates and percentiles are those of the last second: service is how long requests",
        "were in the application, queue how long they waited for a worker. Behind each",
        "address: connections that wait in the kernel, and how many may. Saturated: the",
        "share of the time in which no worker was idle. gc%: the time in the collector.",
        "",
        "Keys that sort:",
    ]
    .map(str::to_string)
    .into();
    for columns in ALL.chunks(5) {
        let line = columns.iter().map(|column| format!("{} {:<9}", column.key(), column.title()));
        lines.push(line.collect::<String>().trim_end().to_string());
    }
    lines
}
