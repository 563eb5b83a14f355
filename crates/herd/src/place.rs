//! Whether a command stands where a server runs. For `licorne herd reload` and for the commands that talk to a master.

use std::path::Path;

/// Whether a directory is that of a server: the same, one below it, or of the same deployment (`releases/1` and `releases/2`, or
/// the directory that holds `releases`).
pub fn is_place(here: &Path, theirs: &Path) -> bool {
    let root = Path::new("/");
    if here == theirs || (theirs != root && here.starts_with(theirs)) {
        return true;
    }
    let Some(deployment) = deployment(theirs) else { return false };
    here == deployment || self::deployment(here) == Some(deployment)
}

/// The directory above the last `releases/NAME` of a path.
fn deployment(path: &Path) -> Option<&Path> {
    let above =
        |path: &'_ Path| path.parent().is_some_and(|parent| parent.file_name().is_some_and(|name| name == "releases"));
    path.ancestors().find(|path| above(path))?.parent()?.parent()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_that_of_the_server_above_it_or_of_the_same_deployment() {
        for (here, theirs, want) in [
            ("/srv/app", "/srv/app", true),
            ("/srv/app/config", "/srv/app", true),
            ("/srv/app2", "/srv/app", false),
            ("/srv", "/srv/app", false),
            ("/srv/app", "/", false),
            ("/", "/", true),
            ("/srv/app/releases/2", "/srv/app/releases/1", true),
            ("/srv/app", "/srv/app/releases/1", true),
            ("/srv/app/releases/2/tmp", "/srv/app/releases/1", true),
            ("/srv/other/releases/1", "/srv/app/releases/1", false),
        ] {
            assert_eq!(is_place(Path::new(here), Path::new(theirs)), want, "{here} {theirs}");
        }
    }
}
