//! The signatures of the configuration's methods in RBS, printed from the table. `sig/licorne/directives.rbs` is this
//! text, checked in; `sig/licorne.rbs` is written by hand, and has the types that are named here.

use alloc::format;
use alloc::string::String;

use crate::listener::{OPTIONS, OptionKind};
use crate::{Directive, Kind, TABLE};

const HEAD: &str = "# Printed from crates/directives; edit the table there.\nmodule Licorne\n  class Configurator\n";

/// Prints the signature of each directive, as a method of `Licorne::Configurator`.
pub fn signatures() -> String {
    let mut out = String::from(HEAD);
    for directive in TABLE {
        out.push_str(&format!("\n    # {}\n    def {}: {}\n", directive.doc, directive.name, method(directive)));
    }
    out.push_str("  end\nend\n");
    out
}

fn method(directive: &Directive) -> String {
    let value = match directive.kind {
        Kind::Integer { .. } => String::from("Integer"),
        Kind::Workers => return "(Integer | :auto | Range[Integer] count, ?(Integer | :auto)? most) -> untyped".into(),
        Kind::Number { .. } => "Integer | Float".into(),
        Kind::Bytes => "Integer | String".into(),
        Kind::MemoryBudget => "Integer | Float | String".into(),
        Kind::Boolean => "bool".into(),
        Kind::Path { optional: true } => "Licorne::path?".into(),
        Kind::Path { optional: false } => "Licorne::path".into(),
        Kind::Choice(words) => format!(":{}", words.join(" | :")),
        Kind::Hook { .. } => return hook(directive.name),
        Kind::Logger => "Licorne::_Logger".into(),
        Kind::Listen => return format!("(String | Integer address{}) -> untyped", options()),
        Kind::AccessLog => {
            return "(Licorne::path | :stdout | nil target, ?format: :json | :combined | String, \
                    ?slow_only: (Integer | Float)?, ?redact: (:query | String | Symbol | Array[String | Symbol])?) \
                    -> untyped"
                .into();
        }
        Kind::Canary => {
            return "(?bool? wanted, ?workers: Integer, ?watch: Integer | Float, ?max_error_ratio: Integer | Float, \
                    ?max_slowdown: Integer | Float, ?max_memory_ratio: Integer | Float) -> untyped"
                .into();
        }
        Kind::Probe => {
            return "(*(String | nil) paths, ?status: Integer | Range[Integer] | Array[Integer | Range[Integer]], \
                    ?timeout: Integer | Float, ?headers: Hash[String | Symbol, String]) -> untyped"
                .into();
        }
        Kind::Service => {
            let options = "?overlap: bool, ?stop_timeout: Integer | Float, ?stop_signal: String | Symbol, \
                           ?min_uptime: Integer | Float";
            return format!(
                "(String | Symbol name, command: Array[String], {options}) -> untyped\n      | (String | Symbol name, \
                 {options}) {{ (Service service, Server server) -> untyped }} -> untyped"
            );
        }
        Kind::WarmUp => {
            return "(*String paths, ?headers: Hash[String | Symbol, String]) ?{ (untyped app, Server server) -> untyped } \
                    -> untyped"
                .into();
        }
        Kind::Address => "String | Integer | nil".into(),
        Kind::Networks => "String | :unix | Array[String | :unix]".into(),
        Kind::Hosts => "String | Array[String]".into(),
        Kind::Reforks => "Integer | Array[Integer | false] | false | nil".into(),
        Kind::User => return "(String name, ?String? group) -> untyped".into(),
    };
    // Keywords that say another directive at once; the first is Pitchfork's.
    let keyword = match directive.name {
        "timeout" => ", ?cleanup: (Integer | Float)?",
        "max_requests" | "max_age" => ", ?jitter: (Integer | Float)?",
        _ => "",
    };
    format!("({value} value{keyword}) -> untyped")
}

fn hook(name: &str) -> String {
    let arguments = match name {
        "before_exec" => "Server server",
        "after_worker_exit" => "Server server, Worker? worker, Process::Status status",
        "after_worker_timeout" => "Server server, Worker worker, TimeoutReport::Info request",
        "after_mold_fork" => "Server server, Mold::Info mold",
        "before_service_fork" | "after_service_fork" => "Server server, Service service",
        _ => "Server server, Worker worker",
    };
    format!("() {{ ({arguments}) -> untyped }} -> untyped\n      | (Proc? hook) -> untyped")
}

fn options() -> String {
    let field = |option: &crate::ListenerOption| {
        let values = match option.kind {
            OptionKind::Integer => "Integer | false | nil".into(),
            OptionKind::Seconds => "Integer | bool".into(),
            OptionKind::Boolean => "bool?".into(),
            OptionKind::Numeric => "Integer | Float".into(),
            OptionKind::Choice(words) => format!("bool | :{} | nil", words.join(" | :")),
            OptionKind::Any => String::from("untyped"),
        };
        format!(",\n                ?{}: {values}", option.name)
    };
    OPTIONS.iter().map(field).collect()
}
