//! What an application finds loaded.

use std::collections::BTreeSet;

use testkit::{App, Server};

use crate::compare::{Comparison, Listed};

const APP: &str = r#"
methods = { "Dir.tmpdir" => Dir, "Time.httpdate" => Time, "Shellwords.split" => Object, "URI.parse" => Object }
found = Object.constants.map(&:to_s)
found += methods.filter_map { |name, object| name if object.respond_to?(name.split(".").last) }
run ->(_env) { [200, { "Content-Type" => "text/plain" }, [found.sort.join("\n")]] }
"#;

/// See [`Listed`].
pub(crate) const KNOWN: &[Listed] = &[Listed {
    heading: "Gems and libraries of Unicorn's own are not loaded",
    rows: &[
        ("Kgio", "loaded", "yes", "no"),
        ("OptParse", "loaded", "yes", "no"),
        ("OptionParser", "loaded", "yes", "no"),
        ("Raindrops", "loaded", "yes", "no"),
    ],
}];

#[test]
fn an_application_finds_the_libraries_that_unicorn_has_loaded() {
    let ask = |server: &Server| server.get("/").text().lines().map(str::to_owned).collect::<BTreeSet<String>>();
    let (unicorn, licorne) = crate::pair::each(|| Server::builder().app(App::rackup(APP)), ask);
    let mut comparison = Comparison::new(KNOWN);
    for name in &unicorn {
        comparison.compare(name, "loaded", "yes", if licorne.contains(name) { "yes" } else { "no" });
    }
    comparison.settle(100);
}
