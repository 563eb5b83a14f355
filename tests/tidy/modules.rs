//! The modules of a crate, and the arrows between them: which uses what of which.
//!
//! An arrow is a path that begins with `crate`, `super`, `self` or the name of a child, in a `use` or in the code. It leads
//! to the module that defines the thing, however it is re-exported. A module that re-exports what is its child's does not use
//! it thereby. Methods that are called on a value are not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::source;

/// `server::builder` as its words; the root is empty.
pub(crate) type Name = Vec<String>;
/// Which modules each one uses.
pub(crate) type Arrows = BTreeMap<Name, BTreeSet<Name>>;

#[derive(Debug, Default)]
struct Module {
    /// Paths as they are written.
    used: Vec<Name>,
    /// Names that it re-exports, and what they stand for.
    shown: BTreeMap<String, Name>,
}

/// Reads the crate whose files are below `directory`.
pub(crate) fn arrows(directory: &Path, files: &[std::path::PathBuf]) -> Arrows {
    let mut texts: BTreeMap<Name, String> = BTreeMap::new();
    for file in files {
        let Ok(inside) = file.strip_prefix(directory) else { continue };
        let mut name: Name = inside.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
        if name.first().is_some_and(|first| first == "bin") {
            continue;
        }
        if name.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
            name.pop();
        }
        texts.insert(name, std::fs::read_to_string(file).expect("a file of the repository can be read"));
    }
    of_texts(&texts)
}

fn of_texts(texts: &BTreeMap<Name, String>) -> Arrows {
    let below = |parent: &Name, child: String| [parent.clone(), vec![child]].concat();
    let for_tests: Vec<Name> = texts
        .iter()
        .flat_map(|(name, text)| source::test_modules(text).into_iter().map(move |child| below(name, child)))
        .collect();
    let names: BTreeSet<Name> =
        texts.keys().filter(|name| !for_tests.iter().any(|test| name.starts_with(test))).cloned().collect();
    let modules: BTreeMap<Name, Module> =
        names.iter().map(|name| (name.clone(), read(name, &source::tokens(&texts[name]), &names))).collect();
    let mut arrows = Arrows::new();
    for (name, module) in &modules {
        let targets = module.used.iter().filter_map(|path| resolve(name, path, &modules, &names, 0));
        arrows.insert(name.clone(), targets.filter(|target| target != name).collect());
    }
    arrows
}

fn read(name: &Name, tokens: &[String], names: &BTreeSet<Name>) -> Module {
    let mut module = Module::default();
    let mut at = 0;
    while at < tokens.len() {
        let token = tokens[at].as_str();
        if token == "use" && tokens.get(at + 1).is_some_and(|next| next != "<") {
            let public = at > 0 && (tokens[at - 1] == "pub" || tokens[at - 1] == ")");
            let end = at + tokens[at..].iter().position(|token| token == ";").unwrap_or(tokens.len() - at - 1);
            for (path, shown_as) in leaves(&tokens[at + 1..end], &Vec::new()) {
                if !(public && child(name, &path, names)) {
                    module.used.push(path.clone());
                }
                if public {
                    module.shown.insert(shown_as, path);
                }
            }
            at = end;
        } else if is_word(token) && !(at > 0 && matches!(tokens[at - 1].as_str(), "::" | ".")) {
            let mut path = vec![token.to_string()];
            while at + 2 < tokens.len() && tokens[at + 1] == "::" && is_word(&tokens[at + 2]) {
                path.push(tokens[at + 2].clone());
                at += 2;
            }
            if path.len() > 1 {
                module.used.push(path);
            }
        }
        at += 1;
    }
    module
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The paths of a tree of `use`, each with the name that it has here.
fn leaves(tree: &[String], before: &Name) -> Vec<(Name, String)> {
    let mut path = before.clone();
    let mut at = 0;
    while at < tree.len() {
        match tree[at].as_str() {
            "{" => {
                let inside = &tree[at + 1..tree.len() - 1];
                let (mut depth, mut start, mut found) = (0_usize, 0, Vec::new());
                for (place, token) in inside.iter().enumerate() {
                    match token.as_str() {
                        "{" => depth += 1,
                        "}" => depth -= 1,
                        "," if depth == 0 => {
                            found.extend(leaves(&inside[start..place], &path));
                            start = place + 1;
                        }
                        _ => {}
                    }
                }
                found.extend(if start < inside.len() { leaves(&inside[start..], &path) } else { Vec::new() });
                return found;
            }
            "as" => return vec![(path, tree[at + 1].clone())],
            "::" => {}
            "self" if !path.is_empty() => {}
            word => path.push(word.to_string()),
        }
        at += 1;
    }
    let name = path.last().cloned().unwrap_or_default();
    vec![(path, name)]
}

/// A path from the root of the crate; `None` when it leads elsewhere.
fn absolute(name: &Name, path: &Name, names: &BTreeSet<Name>) -> Option<Name> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some([name, rest].concat()),
        "super" => {
            let ups = path.iter().take_while(|word| *word == "super").count();
            Some([name.get(..name.len().checked_sub(ups)?)?, &path[ups..]].concat())
        }
        _ => child(name, path, names).then(|| [name.clone(), path.clone()].concat()),
    }
}

/// Whether the path begins with a child's name.
fn child(name: &Name, path: &Name, names: &BTreeSet<Name>) -> bool {
    let path = if path.first().is_some_and(|first| first == "self") { &path[1..] } else { path };
    path.first().is_some_and(|first| names.contains(&[name.as_slice(), std::slice::from_ref(first)].concat()))
}

/// The module that a path leads to, through re-exports.
fn resolve(
    name: &Name,
    path: &Name,
    modules: &BTreeMap<Name, Module>,
    names: &BTreeSet<Name>,
    depth: usize,
) -> Option<Name> {
    let path = absolute(name, path, names)?;
    let inside = (0..=path.len()).rev().find(|length| modules.contains_key(&path[..*length]))?;
    let (module, rest) = (path[..inside].to_vec(), &path[inside..]);
    match rest.first().and_then(|first| modules[&module].shown.get(first)) {
        Some(shown) if depth < 8 => resolve(&module, &[shown, &rest[1..]].concat(), modules, names, depth + 1),
        _ => Some(module),
    }
}

/// The modules that can be reached from themselves, in groups that reach each other.
pub(crate) fn circles(arrows: &Arrows) -> Vec<Vec<Name>> {
    let reach: BTreeMap<&Name, BTreeSet<&Name>> = arrows.keys().map(|name| (name, reachable(arrows, name))).collect();
    let mut found: Vec<Vec<Name>> = Vec::new();
    for name in arrows.keys().filter(|name| reach[name].contains(name)) {
        let known = found.iter_mut().find(|group| reach[name].contains(&group[0]) && reach[&group[0]].contains(name));
        match known {
            Some(group) => group.push(name.clone()),
            None => found.push(vec![name.clone()]),
        }
    }
    found
}

fn reachable<'a>(arrows: &'a Arrows, from: &'a Name) -> BTreeSet<&'a Name> {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(name) = next.pop() {
        next.extend(arrows.get(name).into_iter().flatten().filter(|target| seen.insert(*target)));
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.split("::").filter(|word| !word.is_empty()).map(str::to_string).collect()
    }

    /// The arrows of files, as `a > b c`.
    fn drawn(files: &[(&str, &str)]) -> Vec<String> {
        let texts = files.iter().map(|(module, text)| (name(module), (*text).to_string())).collect();
        let line = |(from, to): (Name, BTreeSet<Name>)| {
            let to: Vec<String> = to.iter().map(|target| target.join("::")).collect();
            format!("{} > {}", from.join("::"), to.join(" ")).trim().to_string()
        };
        of_texts(&texts).into_iter().map(line).filter(|line| !line.ends_with('>')).collect()
    }

    #[test]
    fn arrows_lead_to_where_a_thing_is_defined() {
        let files = [
            ("", "mod a; mod b; pub use a::inner::X;"),
            ("a", "pub(crate) mod inner; pub use self::inner::{Y as Z};"),
            ("a::inner", "pub struct X; // crate::b"),
            ("b", "use crate::{X, a::{self, Z}};"),
        ];
        assert_eq!(drawn(&files), ["b > a a::inner"]);
        let inline = [
            ("", "mod a; mod b; fn f() { b::g(); x.b::<u8>(); }"),
            ("a", "fn f() { let s = \"crate::b\"; }"),
            ("b", ""),
        ];
        assert_eq!(drawn(&inline), [" > b".trim()]);
        let tests = [
            ("", "mod a;"),
            ("a", "#[cfg(test)] mod t; #[cfg(test)] mod u { use crate::f; }"),
            ("a::t", "use super::*;"),
        ];
        assert!(drawn(&tests).is_empty());
    }

    #[test]
    fn a_circle_is_found_however_long_it_is() {
        let texts = [
            ("a", "use crate::b::B;"),
            ("b", "use super::c::{C, D};"),
            ("c", "impl E for crate::a::A {}"),
            ("d", "use crate::a::A;"),
        ];
        let texts = texts.iter().map(|(module, text)| (name(module), (*text).to_string()));
        let texts = texts.chain([(Name::new(), String::new())]).collect();
        assert_eq!(circles(&of_texts(&texts)), [["a", "b", "c"].map(name)]);
    }
}
