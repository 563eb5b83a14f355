//! The table itself.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::choices::{Balance, GarbageTime, Refork, TermSignal, UpgradeWay};
use crate::directive::{bytes, integer, licorne, rate, unicorn};
use crate::settings::directives;
use crate::{AccessLog, Canary, Default, Directive, Kind, MemoryBudget, Probe, Reforks, Service, WarmUp, Workers};

/// Unicorn's greatest timeout, in seconds: thirty days.
const LONGEST_TIMEOUT: i64 = 30 * 24 * 60 * 60;

directives! {
    /// How many processes serve, how they start, and how long each may take for what it does.
    processes: Processes {
        worker_processes: Workers = unicorn(
            Kind::Workers,
            Default::Int(1),
            "How many workers serve requests, each one request at a time. `:auto` is the CPU quota of the cgroup, or the \
             number of processors. With `2..16` the number follows the load between both, and does not exceed the CPU quota \
             unless the first number does. See [Memory](memory.md#how-many-workers).",
        ).environment("WEB_CONCURRENCY");
        timeout: Duration = unicorn(
            Kind::Integer { min: 3, cap: Some(LONGEST_TIMEOUT) },
            Default::Int(60),
            "How long one request may last before its worker is killed and replaced. Also bounds a graceful stop.",
        ).unit("seconds");
        timeout_cleanup: Duration = licorne(
            Kind::Number { min: 0.0 },
            Default::Int(3),
            "How long before `timeout` ends a request its worker reports it: the worker logs the backtrace of each thread and \
             calls `after_worker_timeout`. Never more than half of `timeout`; 0 reports nothing. `timeout 20, cleanup: 3` \
             sets both.",
        ).unit("seconds");
        slow_request: Duration = licorne(
            Kind::Number { min: 0.0 },
            Default::Int(0),
            "After how long in the application a request is slow: then its worker logs it with the backtrace of each thread, \
             once, and goes on. `after_worker_timeout` is not called, and what the application adds to its deadline does not \
             count. 0 reports nothing.",
        ).unit("seconds");
        boot_timeout: Duration = licorne(
            Kind::Number { min: 1.0 },
            Default::Int(120),
            "How long a mold or a worker may take from its start until it is ready. If it takes longer, it is killed.",
        ).unit("seconds");
        warm_up: Option<WarmUp> = licorne(
            Kind::WarmUp,
            Default::Unset,
            "Requests that the application answers before it is ready, through the whole Rack stack, with `licorne.warm_up` in \
             their env: `warm_up \"/\", \"/login\"`. With `preload_app true` the mold makes them, once, and all workers share what \
             they have loaded, compiled and cached; otherwise each worker does. `headers:` are fields such as \
             `{ \"Host\" => \"example.com\" }`. A block is called after them with the application and the server. What fails is \
             logged, and the boot goes on. See [Memory](memory.md#warm-up).",
        );
        probe: Option<Probe> = licorne(
            Kind::Probe,
            Default::Unset,
            "What each new worker has to answer before it serves: `probe \"/up\"`, or several paths. The request goes through \
             the whole application, with `licorne.probe` in its env, and counts nowhere. `status: 200..399` are the statuses \
             that are right, `timeout: 5` how many seconds a response may take, `headers:` fields such as \
             `{ \"Host\" => \"example.com\" }`. A worker that fails does not serve; a reload whose workers fail is undone, and \
             a first boot ends the server. See [Deploys](deploys.md).",
        );
        canary: Option<Canary> = licorne(
            Kind::Canary,
            Default::Unset,
            "How a reload tries new code before all workers are of it: `canary workers: 1, watch: 60`. The first `workers` of it \
             serve beside the old ones for `watch` seconds. Where they do worse than those in the same time, by responses with 5xx \
             (`max_error_ratio: 2` times as many), service time (`max_slowdown: 2`), deaths, or private memory \
             (`max_memory_ratio: 2`), the reload is undone. See [Deploys](deploys.md).",
        );
        keep_previous: Duration = licorne(
            Kind::Number { min: 0.0 },
            Default::Int(0),
            "For how long the mold of the code before is kept after a reload, so that `licorne rollback` goes back without a \
             boot. It takes the memory of one loaded application.",
        ).unit("seconds");
        surge: u32 = licorne(
            integer(1),
            Default::Int(1),
            "How many workers beyond `worker_processes` may live while a reload replaces them.",
        ).unit("workers");
        refork_after: Reforks = licorne(
            Kind::Reforks,
            Default::Unset,
            "After how many requests of one worker the workers are forked anew from it: `refork_after [50, 100, 1000]` is after 50 \
             the first time, after 100 of a worker forked since the second time, then after each 1000; `false` at the end stops \
             there. The worker that has served most forks the next mold between two requests, and a roll to it follows, as in \
             a reload: workers then share what that one has loaded and cached. It needs an application that can be forked while \
             it serves, and workers of the same user as their mold; it does not go with `worker_exec true`. See \
             [Memory](memory.md).",
        ).unit("requests");
        refork: Refork = licorne(
            Kind::Choice(Refork::WORDS),
            Default::Symbol("counted"),
            "When workers are forked anew from one of them: `:counted` as `refork_after` says, and never without it; `:auto` also \
             when they have grown so much since they were forked that a good part of all memory would be shared again. Each such \
             refork waits longer than the one before. It needs what `refork_after` needs. See [Memory](memory.md#refork).",
        );
        preload_app: bool = unicorn(
            Kind::Boolean,
            Default::Bool(false),
            "Load the application once, in the mold, before workers are forked: memory is shared and workers start at once.",
        );
        worker_exec: bool = unicorn(
            Kind::Boolean,
            Default::Bool(false),
            "Start each worker as a fresh Ruby program instead of a mere fork, so that its address space is its own.",
        );
        term_signal: TermSignal = licorne(
            Kind::Choice(TermSignal::WORDS),
            Default::Symbol("graceful"),
            "What SIGTERM means: finish the running requests, or leave at once as Unicorn does.",
        );
        shutdown_delay: Duration = licorne(
            Kind::Number { min: 0.0 },
            Default::Int(0),
            "How long to keep serving after a graceful stop was asked for, so that load balancers can notice.",
        ).unit("seconds");
        keepalive_linger: Duration = licorne(
            Kind::Number { min: 0.0 },
            Default::Int(2),
            "How long idle kept-alive connections may stay on a worker that retires while no other worker takes them, so \
             that a client that is about to send its next request is still served.",
        ).unit("seconds");
        upgrade: UpgradeWay = licorne(
            Kind::Choice(UpgradeWay::WORDS),
            Default::Symbol("auto"),
            "How SIGUSR2 brings in a new program: a second master beside the old one, or in place under the same pid.",
        );
    }

    /// After what a worker has had its time, and another one takes its place.
    recycling: Recycling {
        max_requests: u64 = licorne(
            integer(0),
            Default::Int(0),
            "After about how many requests a worker is replaced, to bridge the time until a leak is found; 0 is never. The new worker \
             is ready before the old one leaves, and takes its connections. No two workers have the same limit: it lies between \
             this number and `recycle_jitter` more, which `max_requests 1000, jitter: 0.2` sets too. The master looks once a \
             second. See [Memory](memory.md).",
        ).unit("requests");
        max_age: Duration = licorne(
            Kind::Number { min: 0.0 },
            Default::Int(0),
            "After how long a worker is replaced, as with `max_requests`; 0 is never. `max_age 86_400, jitter: 0.2` sets \
             `recycle_jitter` too.",
        ).unit("seconds");
        recycle_jitter: f64 = licorne(
            Kind::Number { min: 0.0 },
            Default::Float(0.1),
            "By which share `max_requests` and `max_age` may be exceeded, other for each worker, so that workers which were \
             started together are not replaced together.",
        ).unit("share");
        max_memory: u64 = licorne(
            Kind::Bytes,
            Default::Int(0),
            "With how much private memory a worker is replaced, as with `max_requests`; 0 is never. Private is what it shares with \
             no other process. It is measured once a second where much is resident. A worker that has so much right after \
             its start is not replaced for it, which is logged: the next one would have it too.",
        ).unit("bytes");
        memory_budget: MemoryBudget = licorne(
            Kind::MemoryBudget,
            Default::Int(0),
            "How much memory the server may have, master, molds, workers and services together, shared memory counted once: \
             `\"2G\"`, or `0.8` of the limit of the control group. Over it the worker that has grown most is replaced, one at a \
             time; then there are fewer workers, down to the first number of `worker_processes`. The load brings no more \
             than there is room for. 0 is no budget. See [Memory](memory.md#a-budget).",
        );
    }

    /// What runs beside the workers.
    services: Services {
        service: Vec<Service> = licorne(
            Kind::Service,
            Default::Described("none"),
            "A process beside the workers that serves no requests: `service \"jobs\", command: [\"bundle\", \"exec\", \
             \"sidekiq\"]`, or a block, which the mold forks. It is started when the workers of its generation serve, and \
             replaced when those of the next one do: `overlap: false` (the default) starts the new one when the old one has \
             gone, `overlap: true` has the old one go when the new one has lived for `min_uptime`. `stop_signal: :TERM` asks it \
             to leave, and after `stop_timeout: 25` seconds it is killed. One that ends before `min_uptime: 5` seconds has \
             failed: the next one waits, longer each time. It may be given for several names. See [Services](services.md).",
        );
    }

    /// What the server uses of the system: addresses, files, users.
    system: System {
        listen = unicorn(
            Kind::Listen,
            Default::Described("`0.0.0.0:8080`"),
            "Adds a listener: a port, `\"host:port\"`, `\"[ipv6]:port\"`, `\"/path/of.sock\"` or `\"unix:path\"`, and \
             the options below. `PORT` replaces 8080 when there is no other listener. \
             `\"systemd:name\"` gives options to the sockets that systemd passes under that name (`FileDescriptorName=`); \
             the server listens on those in any case.",
        ).environment("PORT");
        pid: Option<String> = unicorn(
            Kind::Path { optional: true },
            Default::Unset,
            "The file that holds the master's process id while it runs.",
        );
        logger = unicorn(
            Kind::Logger,
            Default::Described("`Logger.new($stderr)`"),
            "Where the server logs, and what the application sees as `rack.logger`.",
        );
        stderr_path: Option<String> = unicorn(
            Kind::Path { optional: true },
            Default::Described("unset; `/dev/null` with `-D`"),
            "The file that standard error is appended to.",
        );
        stdout_path: Option<String> = unicorn(
            Kind::Path { optional: true },
            Default::Described("unset; `/dev/null` with `-D`"),
            "The file that standard output is appended to.",
        );
        working_directory: Option<String> = unicorn(
            Kind::Path { optional: false },
            Default::Described("where the server was started"),
            "The directory to work in. It is entered at once, while the file is being read; each reload follows a symbolic \
             link anew.",
        );
        user: Option<(String, Option<String>)> = unicorn(
            Kind::User,
            Default::Unset,
            "The user, and optionally the group, that workers run as. Without a group, workers have the user's \
             own, with the user's supplementary groups. Logs, pid file and UNIX sockets are opened as this user, unless only \
             root can write the directories on the way to them.",
        );
        restart_file: Option<String> = licorne(
            Kind::Path { optional: true },
            Default::Unset,
            "A file whose touch asks for a reload, as SIGHUP does: `restart_file \"tmp/restart.txt\"`, which Passenger and Puma's \
             `tmp_restart` know. It need not be there; it is looked for in the directory of the server, by the path that was \
             given, so that a moved `current` counts. It is noticed at once, by inotify(7): on a file system on the network only when this machine touches it.",
        );
        admin_listen: Option<String> = licorne(
            Kind::Address,
            Default::Unset,
            "Where a separate process answers `/livez`, `/readyz`, `/status` and `/metrics`, and shows a page at `/`, however busy \
             the workers are. If the master is root, that process runs as `nobody`, or as `daemon` or `bin` if the application runs as `nobody`.",
        );
        admin_hosts: Vec<String> = licorne(
            Kind::Hosts,
            Default::Unset,
            "The host names that `admin_listen` accepts, `\"web1.example.com\"` or a list; `\".example.com\"` means all names that \
             end in it. A request whose `Host` is another name is answered with 403: otherwise a page on the web could read the \
             answers, by a name that leads here (DNS rebinding). Addresses, names without a dot, the machine's own name and the \
             one in `admin_listen` are always accepted, and on a UNIX socket every name.",
        );
        admin_show_queries: bool = licorne(
            Kind::Boolean,
            Default::Bool(false),
            "Show the query strings of requests at `admin_listen`. By default `/status` and the page show paths alone: query \
             strings hold tokens, addresses and what people search for.",
        );
        control: Option<String> = licorne(
            Kind::Path { optional: true },
            Default::Described("`PID.sock` in a directory of Licorne's"),
            "The socket by which `licorne reload`, `stop` and `status` reach the master. By default it is \
             `/run/licorne/PID.sock` for root; for others `PID.sock` in `$RUNTIME_DIRECTORY`, \
             `$XDG_RUNTIME_DIR/licorne` or `/tmp/licorne-UID`, whichever exists first: so it can be found from the \
             master's process id or its pid file. A second master with the same process id (containers that share `/run`) has \
             `PID-NAMESPACE.sock`.",
        ).fixed();
    }

    /// How the application is called, and what it gets.
    application: Application {
        default_middleware: bool = unicorn(
            Kind::Boolean,
            Default::Bool(true),
            "Wrap the application as `RACK_ENV` asks: in development with ContentLength, CommonLogger, ShowExceptions, \
             Lint and TempfileReaper, in deployment with ContentLength, CommonLogger and TempfileReaper. `-N` wins.",
        );
        early_hints: bool = unicorn(
            Kind::Boolean,
            Default::Bool(false),
            "Give the application `rack.early_hints`, which sends `103 Early Hints`.",
        );
        check_client_connection: bool = unicorn(
            Kind::Boolean,
            Default::Bool(false),
            "Do not call the application for a client that has already left. Not with `tcp_nopush: true`.",
        );
        rewindable_input: bool = unicorn(
            Kind::Boolean,
            Default::Bool(true),
            "Whether `rack.input` can be rewound. `false` keeps nothing of a body: it streams to the application.",
        );
        request_buffering: bool = licorne(
            Kind::Boolean,
            Default::Bool(true),
            "Whether the application is called only when the whole body has arrived. With `false` it reads the body while it \
             arrives, as in Unicorn, and a slow client occupies its worker; the same is true of `rewindable_input false`.",
        );
        gc: GarbageTime = licorne(
            Kind::Choice(GarbageTime::WORDS),
            Default::Symbol("automatic"),
            "When Ruby collects all garbage, old objects included, which takes longest: `:automatic`, when Ruby finds it time, \
             or `:between_requests`, when the worker is in no request, in one worker at a time while the others serve. \
             Collections of young objects begin in requests in any case. See [Memory](memory.md#garbage-between-requests).",
        );
        drop_underscore_headers: bool = licorne(
            Kind::Boolean,
            Default::Bool(true),
            "Ignore request fields with an underscore in their name: they could pose as fields with a hyphen.",
        );
        trusted_proxies: Option<Vec<String>> = licorne(
            Kind::Networks,
            Default::Described("unset: as in Unicorn, every client may set the scheme, and none `REMOTE_ADDR`"),
            "The proxies that are believed: `'10.0.0.0/8'`, or a list; those on UNIX sockets always are. From other clients \
             `X-Forwarded-*`, `Forwarded`, `X-Real-IP`, `X-Sendfile-Type` and `X-Accel-Mapping` are dropped. `REMOTE_ADDR` \
             becomes the last address of `X-Forwarded-For` that is not one of these proxies.",
        );
    }

    /// What is noted of each request.
    requests: Requests {
        access_log: Option<AccessLog> = licorne(
            Kind::AccessLog,
            Default::Unset,
            "Where each worker writes a line for each request that was answered: a file, or `:stdout`. `format:` is `:json` (the \
             default), `:combined` as nginx and Apache have it, or a template: `\"{client} {method} {path} {status} \
             {service_ms}\"`. `slow_only: 0.5` leaves out what the application answered within so many seconds. `redact:` \
             hides the values of parameters whose names contain one of these words, by default `passw`, `secret`, `token`, \
             `_key`, `crypt`, `salt`, `certificate`, `otp`, `ssn`, `cvv` and `cvc`; `[]` hides none, `:query` all of the query. \
             See [Logs](logs.md). It gives requests an id, as `request_id` does.",
        );
        request_id: bool = licorne(
            Kind::Boolean,
            Default::Bool(false),
            "Give each request an id: the `X-Request-Id` that it came with, if that is of at most 64 letters, digits and \
             `-_.@=+/:`, or else one of 128 random bits. The application gets it as `HTTP_X_REQUEST_ID`, and `licorne status` \
             tells it. With `trusted_proxies`, only these proxies' ids are taken. `access_log` does the same by itself.",
        );
        request_usage: bool = licorne(
            Kind::Boolean,
            Default::Bool(false),
            "Measure of each request the processor time of the thread that runs the application, and how many objects Ruby \
             allocated meanwhile. `licorne status --json` and `licorne top` tell it of the request that a worker served last. It \
             costs two system calls for each request.",
        );
    }

    /// Which hooks the configuration gives.
    hooks: Hooks {
        before_fork: bool = unicorn(
            Kind::Hook { arity: 2 },
            Default::Described("logs `worker=N spawning...`"),
            "Called in the mold with server and worker, before each worker is forked.",
        );
        after_fork: bool = unicorn(
            Kind::Hook { arity: 2 },
            Default::Described("logs `worker=N spawned pid=P`"),
            "Called in the worker with server and worker, before the user is switched and the application is loaded.",
        );
        after_worker_ready: bool = unicorn(
            Kind::Hook { arity: 2 },
            Default::Described("logs `worker=N ready`"),
            "Called in the worker with server and worker, once the application is loaded, just before it serves.",
        );
        after_worker_exit: bool = unicorn(
            Kind::Hook { arity: 3 },
            Default::Described("logs `reaped STATUS worker=N`"),
            "Called in the mold with server, worker and a Process::Status, when a worker has died.",
        );
        before_exec: bool = unicorn(
            Kind::Hook { arity: 1 },
            Default::Described("logs `forked child re-executing...`"),
            "Called with server in a child of the mold before an upgrade; the new program gets the `ENV` that it leaves.",
        );
        after_mold_fork: bool = licorne(
            Kind::Hook { arity: 2 },
            Default::Described("logs `mold gen=N spawned pid=P` in one that a worker has forked"),
            "Called in each mold that has the application, with server and mold (`generation`, `pid`), before it forks anything: \
             after `preload_app`, and in a mold that a worker has forked (`refork_after`). It is the place to disconnect and to \
             compact. With it, threads and sockets of a worker are no reason not to fork from it.",
        );
        before_service_fork: bool = licorne(
            Kind::Hook { arity: 2 },
            Default::Described("logs `service=NAME spawning...`"),
            "Called in the mold with server and service, before a service that is a block is forked.",
        );
        after_service_fork: bool = licorne(
            Kind::Hook { arity: 2 },
            Default::Described("logs `service=NAME spawned pid=P`"),
            "Called in a service that is a block with server and service, before the user is switched and the application is \
             loaded.",
        );
        after_worker_timeout: bool = licorne(
            Kind::Hook { arity: 3 },
            Default::Described("does nothing"),
            "Called in a separate thread of the worker with server, worker and what is known (`thread`, `rack_env`, `elapsed` in \
             seconds), when `timeout` is about to end the request, after it has been reported.",
        );
    }

    /// What connections may take of a worker: memory, descriptors, time.
    connections: Connections {
        client_body_buffer_size: usize = unicorn(
            integer(0),
            Default::Int(114_688),
            "Request bodies up to this size always stay in memory; see `body_memory` for longer ones.",
        ).unit("bytes");
        body_memory: usize = licorne(
            integer(0),
            Default::Int(16_777_216),
            "Memory of one worker that request bodies above `client_body_buffer_size` share. A body that needs more than a \
             quarter of it, or that comes when it is used up, goes to an unlinked temporary file. With 0 all of them do.",
        ).unit("bytes");
        response_buffer_size: usize = licorne(
            integer(0),
            Default::Int(1_048_576),
            "How much of a response is kept in memory for a client that does not take it at once; the rest goes to an \
             unlinked temporary file, and the worker is free.",
        ).unit("bytes");
        response_file_limit: u64 = licorne(
            integer(0),
            // As nginx.
            Default::Int(1_073_741_824),
            "How much of a response may be in a temporary file; beyond that, or when the disk is full, the application waits for \
             the client. 0 means no file.",
        ).unit("bytes");
        worker_connections: usize = licorne(
            integer(1),
            Default::Int(10_000),
            "How many connections one worker keeps open at once, but never more than its limit of descriptors allows. A worker \
             that has this many leaves new connections to workers that have room. If none has, it closes one connection for each \
             new one. That is the one that has been idle for longest; if none is idle, the one with the slowest body, unless that \
             comes faster than 16 KiB a second on average or began less than a second ago; or else the one whose request head has \
             taken longest, even if bytes of it arrive now and then. A connection whose request is being served, or that is taking \
             a response, is never closed for another.",
        );
        balance: Balance = licorne(
            Kind::Choice(Balance::WORDS),
            Default::Symbol("warm"),
            "Which idle worker gets a new connection: `:warm` the first in a fixed order, so that as few work as the load needs, \
             with warm caches, and the others go on sharing their memory; `:even` each in its turn, so that all of them have \
             worked, and have grown, alike. While all are busy the first that is done takes what waits.",
        );
        pipeline_limit: u32 = licorne(
            integer(0),
            // nginx closes after as many requests, however they came.
            Default::Int(1_000),
            "How many requests in a row a client may send without waiting for the response to the one before. The response to \
             the last of them closes the connection. 0 means no limit.",
        ).unit("requests");
        keepalive_timeout: Duration = licorne(
            Kind::Number { min: 0.0 },
            // As nginx: above the 60 s of load balancers.
            Default::Int(75),
            "How long a connection may stay idle between requests. 0 closes the connection after each response.",
        ).unit("seconds");
        header_timeout: Duration = licorne(
            Kind::Number { min: 1.0 },
            // As nginx.
            Default::Int(60),
            "How long a client may pause while it sends the head of a request. The whole head may take longer.",
        ).unit("seconds");
        body_timeout: Duration = licorne(
            Kind::Number { min: 1.0 },
            // As nginx.
            Default::Int(60),
            "How long a client may pause while it sends a body. A slow upload that keeps coming is accepted.",
        ).unit("seconds");
        write_timeout: Duration = licorne(
            Kind::Number { min: 1.0 },
            // As nginx.
            Default::Int(60),
            "How long a client may pause while it takes a response.",
        ).unit("seconds");
    }

    /// How fast a client has to be.
    rates: Rates {
        minimum_header_rate: u64 = rate(
            "How fast a client must send the head of a request, on average once `minimum_rate_grace` is over; 0 means no \
             minimum. A slower client is answered with 408.",
        );
        minimum_body_rate: u64 = rate(
            "How fast a client must send a body, on average once `minimum_rate_grace` is over; 0 means no minimum. A \
             slower client is answered with 408.",
        );
        minimum_write_rate: u64 = rate(
            "How fast a client must take the part of a response that it did not take at once, on average once \
             `minimum_rate_grace` is over; 0 means no minimum. The connection of a slower client is closed.",
        );
        minimum_rate_grace: Duration = licorne(
            Kind::Number { min: 0.0 },
            // Kestrel: 5. A client on a bad line may lose its first segments.
            Default::Int(20),
            "How long a head, a body or a response may take before its minimum rate counts.",
        ).unit("seconds");
    }

    /// How large a request may be. Sizes are those of `http1::Limits`, whose page tells what other servers allow: a size equal to
    /// the limit passes.
    limits: Limits {
        request_line_limit: usize = bytes(
            16_384,
            "The longest request line, without its line end. A longer one is answered with 414.",
        );
        request_target_limit: usize = bytes(
            15_360,
            "The longest request target (path, query and all). A longer one is answered with 414.",
        );
        request_path_limit: usize = bytes(8_192, "The longest path of a request. A longer one is answered with 414.");
        request_query_limit: usize = bytes(
            10_240,
            "The longest query of a request. A longer one is answered with 414.",
        );
        request_fragment_limit: usize = bytes(
            1_024,
            "The longest fragment of a request. A longer one is answered with 414.",
        );
        field_name_limit: usize = bytes(256, "The longest name of a header field. A longer one is answered with 431.");
        field_value_limit: usize = bytes(
            81_920,
            "The longest value of a header field. A longer one is answered with 431.",
        );
        field_count_limit: usize = licorne(
            integer(1),
            Default::Int(100),
            "How many header fields a request may have. One with more is answered with 431.",
        ).unit("fields");
        header_limit: usize = bytes(
            114_688,
            "The longest head of a request, request line included. A longer one is answered with 431. \
             `Unicorn::HttpParser.max_header_len=` sets it too.",
        );
        body_limit: u64 = licorne(
            integer(0),
            Default::Int(0),
            "The longest body of a request, chunked or not; 0 means no limit. A longer one is answered with 413, as soon as \
             its length is known.",
        ).unit("bytes");
        chunk_extension_limit: usize = bytes(
            4_096,
            "How many bytes of chunk extensions a chunked body may have beyond the bytes of its content. More are answered \
             with 400.",
        );
        trailer_limit: usize = bytes(
            8_192,
            "The longest trailer section of a chunked body. A longer one is answered with 431.",
        );
    }
}

/// The directive with this name.
pub fn find(name: &str) -> Option<&'static Directive> {
    TABLE.iter().find(|directive| directive.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Value, find};
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_each_entry_is_documented() {
        let names: BTreeSet<_> = TABLE.iter().map(|directive| directive.name).collect();
        assert_eq!(names.len(), TABLE.len());
        for directive in TABLE {
            assert!(directive.doc.ends_with('.'), "{}", directive.name);
            assert_eq!(find(directive.name), Some(directive));
        }
    }

    #[test]
    fn defaults_pass_their_own_check() {
        for directive in TABLE {
            let value = directive.default.value();
            if value != Value::Nil {
                assert_eq!(crate::check(directive, &value), Ok(value), "{}", directive.name);
            }
        }
    }
}
