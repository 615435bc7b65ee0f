//! `paylog new` and `paylog package`: a new app, from the first file to the archive.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::program::{program, refusal, run, stderr, stdout};
use crate::support::skip::skip;

fn new_app(folder: &Path) -> PathBuf {
    let app = folder.join("my-app");
    let made = run(&[
        "new",
        app.to_str().unwrap(),
        "--library",
        env!("CARGO_MANIFEST_DIR"),
    ]);
    assert!(made.status.success(), "{}", stderr(&made));
    assert!(stdout(&made).contains("cargo run"), "{}", stdout(&made));
    app
}

// compat: engine.16
#[test]
fn new_app_has_all_files() {
    let folder = tempfile::tempdir().unwrap();
    let app = new_app(folder.path());
    let manifest = fs::read_to_string(app.join("Cargo.toml")).unwrap();
    assert!(manifest.contains("name = \"my-app\""), "{manifest}");
    assert!(
        manifest.contains(&format!("paylog = {{ path = '{}' }}", env!("CARGO_MANIFEST_DIR"))),
        "{manifest}"
    );
    for file in [
        "functions/main.rs",
        "functions/hello.rs",
        "functions/review.rs",
        "leanengine.yaml",
        "README.md",
        ".gitignore",
    ] {
        let text = fs::read_to_string(app.join(file)).unwrap();
        assert!(!text.contains("{name}"), "{file}: {text}");
    }
    let again = run(&["new", app.to_str().unwrap()]);
    assert!(refusal(&again).contains("is not empty"));
    let wrong = folder.path().join("1st");
    assert!(refusal(&run(&["new", wrong.to_str().unwrap()])).contains("letter"));
    assert!(!wrong.exists(), "a refusal leaves nothing behind");
}

/// Runs in CI, or if `PAYLOG_TEST_NEW_APP` is set: it compiles the whole library once more.
#[test]
fn new_app_builds() {
    if std::env::var_os("CI").is_none() && std::env::var_os("PAYLOG_TEST_NEW_APP").is_none() {
        skip("PAYLOG_TEST_NEW_APP=1 builds a new app");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let app = new_app(folder.path());
    // The app shares this repository's versions and build output: nothing is built twice.
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::copy(here.join("Cargo.lock"), app.join("Cargo.lock")).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.arg("check").current_dir(&app);
    for setting in [
        "profile.dev.debug='line-tables-only'",
        "profile.dev.opt-level=1",
        "profile.dev.package.'*'.opt-level=2",
        "profile.dev.package.'*'.debug=false",
        "profile.dev.build-override.opt-level=0",
    ] {
        cargo.args(["--config", setting]);
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let output = cargo.env("CARGO_TARGET_DIR", target).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(!stderr(&output).contains("warning"), "{}", stderr(&output));
}

fn package(app: &Path, built: &Path) -> Output {
    program()
        .arg("package")
        .arg("--program")
        .arg(built)
        .current_dir(app)
        .output()
        .unwrap()
}

// compat: engine.16
#[test]
fn package_holds_a_program_for_old_systems() {
    let folder = tempfile::tempdir().unwrap();
    let app = new_app(folder.path());
    // A program without shared libraries.
    let built = folder.path().join("static");
    let source = folder.path().join("static.c");
    fs::write(&source, "void _start(void) { for (;;); }").unwrap();
    let compiled = Command::new("cc")
        .args(["-nostdlib", "-static", "-o"])
        .arg(&built)
        .arg(&source)
        .output()
        .unwrap();
    assert!(compiled.status.success(), "{}", stderr(&compiled));
    let packed = package(&app, &built);
    if cfg!(not(target_arch = "x86_64")) {
        assert!(refusal(&packed).contains("x86_64"));
        return;
    }
    assert!(packed.status.success(), "{}", stderr(&packed));
    assert!(
        stdout(&packed).contains("statically linked"),
        "{}",
        stdout(&packed)
    );
    let archive = app.join("package/my-app-0.1.0.tar.gz");
    let list = Command::new("tar").arg("-tzf").arg(&archive).output().unwrap();
    let list = stdout(&list);
    assert!(
        list.contains("./my-app\n") && list.contains("./leanengine.yaml\n"),
        "{list}"
    );

    let script = folder.path().join("script");
    fs::write(&script, "#!/bin/sh\n").unwrap();
    assert!(refusal(&package(&app, &script)).contains("no program for Linux"));
    // This program starts here. The output says if it starts on an older system, and what it needs there.
    let own = package(&app, Path::new(env!("CARGO_BIN_EXE_paylog")));
    if own.status.success() {
        assert!(stdout(&own).contains("glibc"), "{}", stdout(&own));
    } else {
        let error = refusal(&own);
        assert!(
            error.contains("GLIBC_2.") && error.contains("cargo-zigbuild"),
            "{error}"
        );
    }
    let nowhere = package(folder.path(), &built);
    assert!(refusal(&nowhere).contains("no app to package"));
}
