//! The project's own rules, held as tests: what a lint cannot see and a reviewer forgets.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a source file without its tests. Beyond it, look for the second idea (docs/architecture.md).
const LINES_MAX: usize = 600;

/// Folders that hold nothing of ours.
const FOREIGN: [&str; 9] =
    [".git", "target", "node_modules", "dist", "build", "corpus", "artifacts", ".venv", "coverage"];

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("tests is a folder of the workspace").to_owned()
}

/// All files of ours, relative to the root.
fn files() -> Vec<PathBuf> {
    let root = root();
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if !FOREIGN.contains(&name.as_str()) && !is_ignored(&path) {
                    folders.push(path);
                }
            } else {
                files.push(path.strip_prefix(&root).expect("below the root").to_owned());
            }
        }
    }
    files.sort();
    files
}

/// A tool's own folder, which says so itself.
fn is_ignored(folder: &Path) -> bool {
    fs::read_to_string(folder.join(".gitignore")).is_ok_and(|rules| rules.trim() == "*")
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension().is_some_and(|extension| extensions.iter().any(|known| extension == *known))
}

fn read(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Text files that people wrote.
fn written() -> impl Iterator<Item = (PathBuf, String)> {
    const EXTENSIONS: [&str; 15] =
        ["rs", "toml", "md", "ts", "tsx", "js", "mjs", "css", "html", "json", "sh", "yml", "yaml", "service", "txt"];
    let lock = |path: &Path| path.ends_with("package-lock.json");
    let files = files().into_iter().filter(move |path| has_extension(path, &EXTENSIONS) && !lock(path));
    files.map(|path| {
        let text = read(&path);
        (path, text)
    })
}

/// Cargo packages of the workspace.
fn packages() -> Vec<PathBuf> {
    let manifests = files().into_iter().filter(|path| path.ends_with("Cargo.toml"));
    let packages = manifests.filter(|path| read(path).contains("[package]"));
    packages.map(|path| path.parent().expect("it is in a folder").to_owned()).collect()
}

#[track_caller]
fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

/// Things in backquotes that look like paths of this repository.
fn named_paths(text: &str) -> impl Iterator<Item = &str> {
    let tops = ["crates/", "clients/", "deploy/", "benches/", "tests/", "fuzz/", "docs/", ".ci/"];
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(move |word| tops.iter().any(|top| word.starts_with(top)) && !word.contains([' ', '*', '<', '{', '…']))
}

#[test]
fn paths_named_in_documents_exist() {
    let documents = files().into_iter().filter(|path| has_extension(path, &["md"]) && !path.ends_with("CHANGELOG.md"));
    let mut missing = Vec::new();
    for document in documents {
        for named in named_paths(&read(&document)) {
            let path = named.split("::").next().unwrap_or(named).split('#').next().unwrap_or(named);
            if !root().join(path).exists() {
                missing.push(format!("{}: {named}", document.display()));
            }
        }
    }
    assert_none("documents name what does not exist", &missing);
}

#[test]
fn source_files_are_small() {
    let mut large = Vec::new();
    for path in files().into_iter().filter(|path| has_extension(path, &["rs", "ts"])) {
        let text = read(&path);
        let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or(&text);
        let lines = code.lines().count();
        let is_test = path.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests");
        if lines > LINES_MAX && !is_test {
            large.push(format!("{}: {lines} lines", path.display()));
        }
    }
    assert_none("files that have grown past one idea", &large);
}

#[test]
fn nothing_is_left_for_later() {
    // Written apart, so that this file does not find itself.
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do!("), concat!("unimple", "mented!(")];
    let mut left = Vec::new();
    for (path, text) in written() {
        for (number, line) in text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                left.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    assert_none("left for later", &left);
}

#[test]
fn no_path_of_one_machine_is_named() {
    let marks = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];
    let mut named = Vec::new();
    for (path, text) in written() {
        for (number, line) in text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                named.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    assert_none("absolute paths of one machine", &named);
}

#[test]
fn every_package_has_the_workspaces_lints() {
    let manifest = |package: &PathBuf| read(&package.join("Cargo.toml"));
    // fuzz is a workspace of its own, as cargo-fuzz wants it.
    let packages = packages().into_iter().filter(|package| !manifest(package).contains("[workspace]"));
    let without = packages.filter(|package| !manifest(package).contains("[lints]\nworkspace = true"));
    assert_none("packages without lints", &without.map(|package| package.display().to_string()).collect::<Vec<_>>());
}

#[test]
fn the_workspace_is_what_lies_in_its_folders() {
    let manifest = read(Path::new("Cargo.toml"));
    assert!(manifest.contains(r#"members = ["crates/*", "tests", "benches"]"#));
    let crates: BTreeSet<_> = packages().into_iter().filter(|package| package.starts_with("crates")).collect();
    for package in &crates {
        let name = package.file_name().expect("a name").to_string_lossy();
        assert!(read(&package.join("Cargo.toml")).contains(&format!("name = \"{name}\"")), "{name}");
    }
    let folders = fs::read_dir(root().join("crates")).expect("crates").map(|entry| entry.expect("entry").path());
    let folders: BTreeSet<_> = folders.map(|path| path.strip_prefix(root()).expect("below").to_owned()).collect();
    assert_eq!(crates, folders);
}

#[test]
fn every_document_is_reachable_from_the_readme() {
    let readme = read(Path::new("README.md"));
    let documents = files().into_iter().filter(|path| path.starts_with("docs") && has_extension(path, &["md"]));
    let lost = documents.filter(|path| !readme.contains(&*path.to_string_lossy()));
    assert_none("documents that README.md does not link", &lost.map(|p| p.display().to_string()).collect::<Vec<_>>());
}

/// Time, randomness and sockets are arguments (docs/architecture.md). Clippy holds it, unless a crate has rules of its own.
#[test]
fn sans_io_crates_have_no_looser_rules() {
    for package in
        ["crates/sfu-core", "crates/focus-signaling", "crates/focus-control", "crates/focus-matrix", "crates/matrixrtc"]
    {
        assert!(!root().join(package).join("clippy.toml").exists(), "{package}");
        let manifest = read(&Path::new(package).join("Cargo.toml"));
        for banned in ["tokio", "mio", "socket2", "axum", "quinn"] {
            let names = manifest.lines().filter(|line| line.starts_with(banned));
            assert_eq!(names.count(), 0, "{package} depends on {banned}");
        }
    }
}

/// Lints are silenced with a reason or not at all.
/// str0m has the control half of a peer, and nothing else of the engine may come to lean on it.
#[test]
fn only_the_seam_names_the_rtc_of_str0m() {
    let core = Path::new("crates/sfu-core/src");
    let is_seam = |path: &Path| path == core.join("peer.rs") || path.starts_with(core.join("peer"));
    let is_test = |path: &Path| path.iter().any(|part| part == "tests" || part == "tests.rs");
    let names = |text: &str| text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "Rtc");
    let in_code = |text: &str| text.lines().any(|line| !line.trim_start().starts_with("//") && names(line));
    let found: Vec<String> = written()
        .filter(|(path, _)| path.starts_with(core) && !is_seam(path) && !is_test(path))
        .filter(|(path, text)| has_extension(path, &["rs"]) && in_code(text))
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert_none("files that name str0m::Rtc", &found);
    assert!(names(&read(&core.join("peer.rs"))), "the seam has moved");
}

#[test]
fn no_lint_is_just_allowed() {
    let mark = concat!("#[all", "ow(");
    let allowed = written().filter(|(path, text)| has_extension(path, &["rs"]) && text.contains(mark));
    assert_none(
        "`expect` with a reason instead",
        &allowed.map(|(path, _)| path.display().to_string()).collect::<Vec<_>>(),
    );
}
