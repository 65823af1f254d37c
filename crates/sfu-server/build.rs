//! Embeds the web client into release builds. Debug builds read it from disk instead (see `src/web.rs`), so that a
//! change of the page needs no compilation here.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Where `make web` puts what it builds.
const DIST: &str = "../../clients/web/dist";

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?).join("assets.rs");
    let dist = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or(io::ErrorKind::NotFound)?).join(DIST);
    let mut text = String::from("&[");
    if env::var_os("CARGO_CFG_DEBUG_ASSERTIONS").is_none() {
        // A directory that does not exist yet counts as changed, always: the page is found as soon as it is built.
        println!("cargo:rerun-if-changed={DIST}");
        if dist.is_dir() {
            let mut files = Vec::new();
            collect(&dist, &mut files)?;
            files.sort();
            for file in files {
                let name = file.strip_prefix(&dist).map_err(io::Error::other)?.to_string_lossy().replace('\\', "/");
                let _ = write!(text, "({name:?}, include_bytes!({:?}).as_slice()),", fs::canonicalize(&file)?);
            }
        }
    }
    text.push(']');
    fs::write(out, text)
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        match path.is_dir() {
            true => collect(&path, files)?,
            false => files.push(path),
        }
    }
    Ok(())
}
