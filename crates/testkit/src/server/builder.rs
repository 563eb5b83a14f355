//! What a server is started with.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use tempfile::TempDir;

use super::Server;
use crate::apps::App;
use crate::http::Endpoint;
use crate::output::{Log, Mark};
use crate::process::{self, Watch};
use crate::program;
use crate::spawn::Start;

/// Collects what a server is started with; [`Builder::start`] starts it.
#[derive(Debug)]
pub struct Builder {
    program: PathBuf,
    app: App,
    workers: u32,
    preload: bool,
    config: String,
    use_config: bool,
    arguments: Vec<String>,
    environment: Vec<(String, Option<String>)>,
    environment_name: Option<String>,
    listeners: Listeners,
    exact: Option<Vec<String>>,
    files: Vec<(String, String)>,
    links: Vec<String>,
}

/// The sockets that it is given.
#[derive(Clone, Copy, Debug)]
struct Listeners {
    tcp: usize,
    unix: usize,
    /// Whether `-l` names them.
    named: bool,
}

impl Server {
    /// Begins to describe a server.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            program: program::path(),
            app: App::plain(),
            workers: 1,
            preload: false,
            config: String::new(),
            use_config: true,
            arguments: Vec::new(),
            environment: Vec::new(),
            environment_name: None,
            listeners: Listeners { tcp: 1, unix: 0, named: true },
            exact: None,
            files: Vec::new(),
            links: Vec::new(),
        }
    }
}

impl Builder {
    /// Starts this program instead of [`program::path`]: another server, to compare with.
    #[must_use]
    pub fn program(self, program: impl Into<PathBuf>) -> Builder {
        Builder { program: program.into(), ..self }
    }

    /// Serves this application instead of [`App::plain`].
    #[must_use]
    pub fn app(self, app: App) -> Builder {
        Builder { app, ..self }
    }

    /// Sets `worker_processes`; 1 when it is not called.
    #[must_use]
    pub fn workers(self, workers: u32) -> Builder {
        Builder { workers, ..self }
    }

    /// Sets `preload_app`; false when it is not called.
    #[must_use]
    pub fn preload(self, preload: bool) -> Builder {
        Builder { preload, ..self }
    }

    /// Appends lines to the configuration file.
    #[must_use]
    pub fn config(mut self, lines: &str) -> Builder {
        self.config.push_str(lines);
        self.config.push('\n');
        self
    }

    /// Starts without a configuration file.
    #[must_use]
    pub fn no_config(self) -> Builder {
        Builder { use_config: false, ..self }
    }

    /// Adds a command-line argument.
    #[must_use]
    pub fn arg(mut self, argument: &str) -> Builder {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Starts it with these arguments and no others, with `{dir}` for the test's directory. No listener is passed: the
    /// server itself is to bind `{dir}/web.sock`, which is where the test finds it.
    #[must_use]
    pub fn exactly(self, arguments: &[&str]) -> Builder {
        let exact = Some(arguments.iter().map(|&argument| argument.to_owned()).collect());
        Builder { exact, listeners: Listeners { tcp: 0, ..self.listeners }, ..self }
    }

    /// Writes a file into the test's directory, with `{dir}` for its path in the text.
    #[must_use]
    pub fn file(mut self, name: &str, text: &str) -> Builder {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    /// Makes the program under test known by another name in the test's directory.
    #[must_use]
    pub fn link(mut self, name: &str) -> Builder {
        self.links.push(name.to_owned());
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Builder {
        self.environment.push((name.to_owned(), Some(value.to_owned())));
        self
    }

    /// Sets what `-E` gets, instead of the application's own choice.
    #[must_use]
    pub fn rack_env(self, name: &str) -> Builder {
        Builder { environment_name: Some(name.to_owned()), ..self }
    }

    /// Passes this many TCP listeners on 127.0.0.1; 1 when it is not called.
    #[must_use]
    pub fn tcp_listeners(self, count: usize) -> Builder {
        Builder { listeners: Listeners { tcp: count, ..self.listeners }, ..self }
    }

    /// Passes this many UNIX sockets, after the TCP listeners.
    #[must_use]
    pub fn unix_listeners(self, count: usize) -> Builder {
        Builder { listeners: Listeners { unix: count, ..self.listeners }, ..self }
    }

    /// Passes the listeners without naming them with `-l`, as a service manager does.
    #[must_use]
    pub fn unnamed_listeners(self) -> Builder {
        Builder { listeners: Listeners { named: false, ..self.listeners }, ..self }
    }

    /// Starts the server, and returns when each of its workers is ready and the master knows.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Server {
        let workers = self.workers;
        let server = self.launch();
        for number in 0..workers {
            server.wait_for(Mark::default(), &format!("worker={number}*ready"));
        }
        server.wait_for(Mark::default(), "master process ready");
        server
    }

    /// Starts the server, and returns at once.
    #[must_use]
    #[track_caller]
    pub fn launch(self) -> Server {
        process::adopt_orphans();
        let directory = TempDir::with_prefix("licorne-").expect("a temporary directory");
        let app_directory = directory.path().join("app");
        self.app.install(&app_directory);
        for (name, text) in &self.files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().expect("it is in the directory")).expect("the directory can be written");
            fs::write(path, text.replace("{dir}", &directory.path().display().to_string()))
                .expect("the test's directory can be written");
        }
        for name in &self.links {
            std::os::unix::fs::symlink(program::path(), directory.path().join(name)).expect("a link can be made");
        }
        let (listeners, mut endpoints) = self.bind(&directory);
        if self.exact.is_some() {
            endpoints.push(Endpoint::Unix(directory.path().join("web.sock")));
        }

        let mut arguments = Vec::new();
        if self.use_config {
            let pid_file = directory.path().join("server.pid");
            let text = format!(
                "worker_processes {}\npreload_app {}\npid {pid_file:?}\n{}",
                self.workers, self.preload, self.config
            );
            let path = directory.path().join("config.rb");
            fs::write(&path, text).expect("the test's directory can be written");
            arguments.extend(["-c".to_owned(), path.display().to_string()]);
        }
        let environment_name = self.environment_name.unwrap_or_else(|| self.app.environment.to_owned());
        arguments.extend(["-E".to_owned(), environment_name]);
        if self.listeners.named {
            arguments.extend(endpoints.iter().flat_map(|endpoint| ["-l".to_owned(), endpoint.to_string()]));
        }
        arguments.extend(self.arguments);
        if let Some(exact) = self.exact {
            let place = directory.path().display().to_string();
            arguments = exact.iter().map(|argument| argument.replace("{dir}", &place)).collect();
        }

        let (reader, writer) = process::pipe();
        let mut environment = self.environment;
        environment.push(("TEST_DIR".to_owned(), Some(directory.path().display().to_string())));
        let program = self.program;
        let start = Start { program: program.clone(), arguments, environment, directory: app_directory, listeners };
        let child = start.spawn(writer).unwrap_or_else(|error| panic!("failed to start {}: {error}", start.display()));
        process::started(child.id());
        let watch = Watch::on(child.id()).expect("a child that was not waited for is there");
        Server {
            program,
            command: start.display(),
            child,
            watch,
            status: None,
            log: Log::collect(reader),
            directory: Some(directory),
            endpoints,
        }
        // The listeners' copies of this process are closed here: from now on only the server keeps them alive.
    }

    fn bind(&self, directory: &TempDir) -> (Vec<OwnedFd>, Vec<Endpoint>) {
        let mut listeners = Vec::new();
        let mut endpoints = Vec::new();
        for _ in 0..self.listeners.tcp {
            let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
            endpoints.push(Endpoint::Tcp(listener.local_addr().expect("it is bound")));
            listeners.push(listener.into());
        }
        for number in 0..self.listeners.unix {
            let path = directory.path().join(format!("{number}.sock"));
            listeners.push(UnixListener::bind(&path).expect("the test's directory can be written").into());
            endpoints.push(Endpoint::Unix(path));
        }
        (listeners, endpoints)
    }
}
