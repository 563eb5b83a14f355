//! What is served, and what is asked of it.

use std::path::PathBuf;

use testkit::program;

/// One application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum App {
    Hello,
    Sinatra,
    /// Sinatra that says who answered.
    SinatraSeen,
    /// That with a large heap.
    SinatraHeap,
    /// A JSON document of a Rails application with 200 routes.
    RailsApi,
    /// A page of the same, with a query, a layout and a template.
    RailsPage,
    /// The document, with a large heap.
    RailsHeap,
    /// 1 MiB in each response.
    Download,
    /// 1 MiB in each request, read in pieces of 64 KiB.
    Upload,
    /// What the end-to-end tests serve, with its 20 MB response.
    Plain,
}

impl App {
    /// The rackup file.
    pub(crate) fn rackup(self) -> PathBuf {
        let path = match self {
            App::Hello => "bench/servers/hello.ru",
            App::Sinatra | App::SinatraSeen | App::SinatraHeap => "bench/servers/sinatra.ru",
            App::RailsApi | App::RailsPage | App::RailsHeap => "bench/servers/rails/config.ru",
            App::Download | App::Upload => "bench/servers/large.ru",
            App::Plain => "tests/apps/plain/config.ru",
        };
        program::repository().join(path)
    }

    /// What its rackup file looks for in the environment: a large heap, workers that say who answered.
    pub(crate) fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            App::SinatraSeen => &[("BENCH_OBSERVED", "1")],
            App::SinatraHeap | App::RailsHeap => &[("BENCH_OBSERVED", "1"), ("BENCH_HEAP", "1")],
            _ => &[],
        }
    }

    /// What clients ask for.
    pub(crate) fn target(self) -> &'static str {
        match self {
            App::Hello | App::Download | App::Upload | App::Plain => "/",
            App::Sinatra | App::SinatraSeen | App::SinatraHeap => "/json?page=2",
            App::RailsApi | App::RailsHeap => "/api?page=2",
            App::RailsPage => "/items",
        }
    }

    /// What clients ask for in turn, where memory is measured.
    pub(crate) fn targets(self) -> &'static [&'static str] {
        match self {
            App::RailsApi => &["/api?page=2", "/items", "/section7/3/part", "/api/5"],
            App::Sinatra => &["/json?page=2"],
            _ => &["/"],
        }
    }

    /// The script that makes wrk ask for it, if the target alone does not.
    pub(crate) fn script(self) -> Option<PathBuf> {
        (self == App::Upload).then(|| program::repository().join("bench/servers/upload.lua"))
    }
}
