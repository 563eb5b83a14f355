//! Promise: what `licorne init` prints for an application is accepted by the program that it is for.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use testkit::process::{Finished, run};
use testkit::{patience, program};

/// An application in a directory of its own.
fn application() -> TempDir {
    let directory = TempDir::with_prefix("licorne-").expect("a temporary directory");
    let here = directory.path();
    for part in ["config", "log", "public", "run"] {
        std::fs::create_dir(here.join(part)).expect("made");
    }
    let at = here.display();
    let config = format!("listen \"{at}/run/web.sock\"\npid \"{at}/run/web.pid\"\nworker_processes 1\n");
    std::fs::write(here.join("config/licorne.rb"), config).expect("written");
    std::fs::write(here.join("config.ru"), "run ->(_env) { [200, {}, ['ok']] }\n").expect("written");
    directory
}

/// Prints a file for the application, and stores it as `name` there.
#[track_caller]
fn init(application: &TempDir, what: &str, name: &str) -> String {
    let mut command = Command::new(program::path());
    command.args(["init", what, "--user", "www-data", "--name", "shop"]).current_dir(application.path());
    let finished = run(command.env("PWD", application.path()), patience());
    assert_eq!(finished.code(), 0, "{finished:#?}");
    assert!(!finished.stdout.contains("/srv/app/current"), "{}", finished.stdout);
    std::fs::write(application.path().join(name), &finished.stdout).expect("written");
    finished.stdout
}

#[track_caller]
fn check(application: &TempDir, words: &[&str]) -> Finished {
    let finished = run(Command::new(words[0]).args(&words[1..]).current_dir(application.path()), patience());
    assert!(finished.status.success(), "{words:?}: {finished:#?}");
    finished
}

#[test]
fn systemd_accepts_its_units() {
    let app = application();
    let unit = init(&app, "systemd", "shop.service");
    assert!(unit.contains("User=www-data") && unit.contains("config/licorne.rb"), "{unit}");
    init(&app, "systemd-socket", "shop.socket");
    let finished = check(&app, &["systemd-analyze", "verify", "--man=no", "./shop.service", "./shop.socket"]);
    assert!(!finished.stderr.contains("shop."), "{finished:#?}");
}

#[test]
fn supervisord_accepts_its_section() {
    let app = application();
    let section = init(&app, "supervisord", "shop.conf");
    assert!(section.contains("[program:shop]") && section.contains("user=www-data"), "{section}");
    let at = app.path().display();
    let main = format!(
        "[supervisord]\nlogfile={at}/log/x\npidfile={at}/x.pid\n[unix_http_server]\nfile={at}/x.sock\n[include]\nfiles={at}/shop.conf\n"
    );
    std::fs::write(app.path().join("supervisord.conf"), main).expect("written");
    // Its own parser, without a daemon.
    let parse = "import supervisor.options as o, sys; s = o.ServerOptions(); \
                 s.realize(args=['-c', sys.argv[1]]); \
                 print([c.name for g in s.process_group_configs for c in g.process_configs])";
    let finished = check(&app, &["/usr/bin/python3", "-c", parse, "supervisord.conf"]);
    assert_eq!(finished.stdout.trim(), "['shop']");
}

#[test]
fn shells_accept_their_scripts() {
    let app = application();
    for what in ["runit", "s6", "init-script"] {
        let script = init(&app, what, "script");
        assert!(script.contains("www-data"), "{what}: {script}");
        check(&app, &["sh", "-n", "script"]);
    }
    assert!(init(&app, "init-script", "script").contains(&format!("PID={}/run/web.pid", app.path().display())));
}

#[test]
fn nginx_accepts_its_server() {
    let app = application();
    let server = init(&app, "nginx", "server.conf");
    assert!(server.contains(&format!("unix:{}/run/web.sock", app.path().display())), "{server}");
    let main = "pid x.pid;\nerror_log stderr;\nevents {}\nhttp { access_log off; client_body_temp_path log; proxy_temp_path log; \
                fastcgi_temp_path log; uwsgi_temp_path log; scgi_temp_path log; include server.conf; }\n";
    std::fs::write(app.path().join("nginx.conf"), main).expect("written");
    check(&app, &["nginx", "-t", "-p", &app.path().display().to_string(), "-c", "nginx.conf"]);
}

#[test]
fn haproxy_accepts_its_configuration() {
    let app = application();
    init(&app, "haproxy", "haproxy.cfg");
    let finished = check(&app, &["haproxy", "-c", "-f", "haproxy.cfg"]);
    assert!(!finished.stderr.contains("WARNING"), "{finished:#?}");
}

#[test]
fn systemd_accepts_the_unit_of_haproxys_agent() {
    let app = application();
    init(&app, "haproxy-agent", "licorne-agent");
    check(&app, &["ruby", "-wc", "licorne-agent"]);
    check(&app, &["chmod", "+x", "licorne-agent"]);
    let unit = init(&app, "haproxy-agent-unit", "licorne-agent.service");
    let at = app.path().display().to_string();
    let there = unit.replace("/usr/local/sbin/licorne-agent ", &format!("{at}/licorne-agent "));
    assert_ne!(there, unit);
    std::fs::write(app.path().join("licorne-agent.service"), there).expect("written");
    let finished = check(&app, &["systemd-analyze", "verify", "--man=no", "./licorne-agent.service"]);
    assert!(!finished.stderr.contains("licorne-agent"), "{finished:#?}");
}

#[test]
fn logrotate_accepts_its_rules() {
    let app = application();
    std::fs::write(app.path().join("log/web.log"), "line\n").expect("written");
    let rules = init(&app, "logrotate", "rules");
    assert!(rules.contains(&format!("kill -USR1 \"$(cat {}/run/web.pid)\"", app.path().display())), "{rules}");
    let finished = check(&app, &["logrotate", "-d", "-s", "state", "rules"]);
    assert!(!finished.stderr.contains("error:"), "{finished:#?}");
}

/// What the tasks do with the settings is in `capistrano.rs`.
#[test]
fn capistrano_gets_settings_that_its_tasks_know() {
    let app = application();
    let text = init(&app, "capistrano", "deploy.rb");
    check(&app, &["ruby", "-wc", "deploy.rb"]);
    assert!(text.contains(&format!("set :licorne_pid, \"{}/run/web.pid\"", app.path().display())), "{text}");
    let tasks = std::fs::read_to_string(program::repository().join("gem/lib/licorne/capistrano.rb")).expect("a file");
    let settings: Vec<&str> = text.lines().filter_map(|line| line.split_once("set :")?.1.split(',').next()).collect();
    assert_eq!(settings.len(), 5, "{text}");
    for setting in settings {
        assert!(tasks.contains(&format!(":{setting}")), "{setting}");
    }
}

/// What they do is in `fleet.rs`.
#[test]
fn deploys_by_ssh_and_ansible_are_accepted_and_name_the_place_of_the_releases() {
    let app = application();
    let current = app.path().join("current");
    std::fs::create_dir(&current).expect("made");
    let at = current.display().to_string();
    for (what, name) in [("ssh", "deploy"), ("ansible", "deploy.yml")] {
        let text = testkit::process::licorne(["init", what, "--directory", &at]).stdout;
        assert!(text.contains(&format!("{}/releases", app.path().display())), "{text}");
        assert!(!text.contains("/srv/app"), "{text}");
        std::fs::write(app.path().join(name), text).expect("written");
    }
    check(&app, &["sh", "-n", "deploy"]);
    check(&app, &["ansible-playbook", "--syntax-check", "-i", "web,", "deploy.yml"]);
}

#[test]
fn a_configuration_to_begin_with_starts_a_server_and_probes_what_the_application_has() {
    let app = application();
    let text = init(&app, "config", "licorne.rb");
    assert!(text.contains("\n# probe \"/up\""), "{text}");
    std::fs::write(app.path().join("config.ru"), "map('/up') { run ->(_env) { [200, {}, ['ok']] } }\n")
        .expect("written");
    let text = init(&app, "config", "licorne.rb");
    assert!(
        text.contains("\nprobe \"/up\"")
            && text.contains("\ncanary workers: 1, watch: 60")
            && text.contains("run/web.sock\""),
        "{text}"
    );
    let program = program::path().display().to_string();
    let finished = check(&app, &[&program, "check", "-c", "licorne.rb"]);
    assert!(!finished.stdout.contains("warning"), "{finished:#?}");
}

/// Fields of Kamal's file, and whether its limits agree with each other and with what is said of them.
#[test]
fn kamal_gets_limits_that_lose_no_request() {
    let app = application();
    let text = init(&app, "kamal", "deploy.yml");
    assert!(text.contains("\nservice: shop "), "{text}");
    let fields = r#"
        require "psych"; require "json"
        file = Psych.load_file("deploy.yml"); proxy = file["proxy"]
        timeout = proxy["response_timeout"]
        puts [proxy["app_port"], proxy["healthcheck"]["path"], file["boot"]["limit"], file["deploy_timeout"] > 120,
              file["drain_timeout"] > timeout, file["stop_timeout"] > timeout].to_json
    "#;
    let got = check(&app, &["ruby", "-e", fields]).stdout;
    assert_eq!(got.trim(), r#"[8080,"/up",1,true,true,true]"#);
    let image = init(&app, "docker", "Dockerfile");
    assert!(image.contains("PORT=8080"), "{image}");
}

#[test]
fn docker_gets_a_process_1_that_hears_its_signal() {
    let app = application();
    let text = init(&app, "docker", "Dockerfile");
    // There is no Docker here: the words that matter, as its reference defines them.
    let last = |word: &str| {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
        lines.next_back().unwrap_or_else(|| panic!("no {word} in\n{text}")).to_owned()
    };
    let command: Vec<String> = serde_json::from_str(&last("CMD")).expect("the exec form is JSON");
    assert_eq!(command, ["bundle", "exec", "licorne", "-c", "config/licorne.rb"]);
    assert_eq!(last("STOPSIGNAL"), "SIGTERM");
    assert_ne!(last("USER"), "root");
    let known = ["FROM", "COPY", "ENV", "RUN", "WORKDIR", "USER", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL", "CMD"];
    let mut continued = false;
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let word = line.split(' ').next().unwrap_or_default();
        assert!(continued || known.contains(&word), "{line}");
        continued = line.ends_with('\\');
    }
}

/// Fields of the Kubernetes file, as a Ruby expression over `pod` sees them.
#[test]
fn kubernetes_gets_what_a_stop_without_a_lost_request_needs() {
    let app = application();
    init(&app, "kubernetes", "app.yaml");
    let fields = r#"
        require "psych"; require "json"
        deployment, service = Psych.load_stream(File.read("app.yaml"))
        pod = deployment["spec"]["template"]["spec"]; web = pod["containers"][0]
        drain = web["lifecycle"]["preStop"]["exec"]["command"][1].to_i
        puts [deployment["kind"], service["kind"], web["readinessProbe"]["httpGet"]["path"], web["livenessProbe"]["httpGet"]["path"],
              web["startupProbe"]["httpGet"]["port"], drain >= 5, pod["terminationGracePeriodSeconds"] > drain + 60,
              deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"],
              deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"],
              web["ports"].map { |port| port["name"] }, web["command"]].to_json
    "#;
    let got: serde_json::Value =
        serde_json::from_str(&check(&app, &["ruby", "-e", fields]).stdout).expect("one line of JSON");
    let want = serde_json::json!([
        "Deployment",
        "Service",
        "/readyz",
        "/livez",
        "admin",
        true,
        true,
        0,
        true,
        ["http", "admin"],
        ["licorne", "-c", "config/licorne.rb"]
    ]);
    assert_eq!(got, want);
}

#[test]
fn an_unknown_kind_is_refused_with_those_that_are_known() {
    let finished = testkit::process::licorne(["init", "upstart"]);
    assert_eq!(finished.code(), 1);
    assert!(finished.stderr.contains("there is no `upstart`") && finished.stderr.contains("systemd|"), "{finished:#?}");
}

/// Runs `init systemd` in this directory.
#[track_caller]
fn unit_of(directory: &Path, options: &[&str]) -> Finished {
    let mut command = Command::new(program::path());
    command.args(["init", "systemd"]).args(options).current_dir(directory);
    run(command.env("PWD", directory).env_remove("USER"), patience())
}

#[test]
fn values_that_would_need_quotes_are_refused() {
    let app = application();
    for name in ["my app", "it's", "100%", "a;b", "$HOME"] {
        let odd = app.path().join(name);
        std::fs::create_dir(&odd).expect("made");
        let finished = unit_of(&odd, &[]);
        assert_eq!((finished.code(), finished.stdout.as_str()), (1, ""), "{finished:#?}");
        assert!(finished.stderr.contains(name) && finished.stderr.contains("not possible"), "{finished:#?}");
        let finished = unit_of(app.path(), &["--name", name]);
        assert_eq!((finished.code(), finished.stdout.as_str()), (1, ""), "{finished:#?}");
    }
    assert_eq!(unit_of(app.path(), &["--name", "shop-1.web@x", "--user", "www-data"]).code(), 0);
}

#[test]
fn a_release_becomes_the_link_to_it_and_root_becomes_who_owns_it() {
    let app = application();
    let release = app.path().join("releases/20261122030000");
    std::fs::create_dir_all(release.join("config")).expect("made");
    std::fs::write(release.join("config/unicorn.rb"), "pid 'tmp/pids/web.pid'\n").expect("written");
    check(&app, &["chown", "www-data", &release.display().to_string()]);
    let finished = unit_of(&release, &[]);
    assert!(finished.stdout.contains(&format!("WorkingDirectory={}\n", release.display())), "{finished:#?}");
    std::os::unix::fs::symlink(&release, app.path().join("current")).expect("made");
    let finished = unit_of(&release, &[]);
    let current = app.path().join("current").display().to_string();
    assert!(finished.stdout.contains(&format!("WorkingDirectory={current}\n")), "{finished:#?}");
    assert!(finished.stdout.contains("User=www-data\n"), "{finished:#?}");
    let script = run(
        Command::new(program::path()).args(["init", "init-script"]).current_dir(&release).env("PWD", &release),
        patience(),
    );
    assert!(script.stdout.contains(&format!("PID={current}/tmp/pids/web.pid\n")), "{script:#?}");
}

/// The files that are printed as they are in the repository: what they show as examples is consistent.
#[test]
fn every_file_of_deploy_is_printed_or_belongs_to_one_that_is() {
    let deploy = program::repository().join("deploy");
    let usage = testkit::process::licorne(["init", "--help"]).stdout;
    for entry in std::fs::read_dir(deploy).expect("deploy/").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(usage.contains(name.split('-').next().unwrap_or(&name)), "{name} is not in:\n{usage}");
    }
    assert!(Path::new(&program::path()).exists());
}
