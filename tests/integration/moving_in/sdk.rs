//! The source app through the official JavaScript SDK. The programs are in `tests/sdk/moving`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::process::Command;

use super::source_app::{FILE, PASSWORD, WEIXIN};
use crate::support::program::{Server, TIMEOUT};
use crate::support::skip::is_installed;

/// The installed SDK.
pub(super) struct Sdk {
    modules: PathBuf,
}

impl Sdk {
    /// Returns `None`, and reports the skip, if the SDK is absent and not required.
    pub(super) fn installed() -> Option<Self> {
        // The folder of `.ci/sdk`, beside the build.
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let modules = target.join("sdk/javascript/node_modules");
        is_installed("JavaScript SDK", &modules.join("leancloud-storage/package.json"))
            .then_some(Self { modules })
    }

    /// Runs one of the programs against a server; returns its output.
    pub(super) async fn run(&self, name: &str, server: &Server, built: &Value) -> String {
        let keys = &server.keys;
        let target = json!({
            "url": server.address, "appId": keys.app_id, "appKey": keys.app_key,
            "masterKey": keys.master_key, "hookKey": keys.hook_key,
        });
        let app = json!({
            "password": PASSWORD, "weixin": *WEIXIN, "file": std::str::from_utf8(FILE).unwrap(), "built": built,
        });
        let mut command = Command::new("node");
        command
            .arg(
                Path::new(env!("CARGO_MANIFEST_DIR"))
                    .join("tests/sdk/moving")
                    .join(name),
            )
            .env("NODE_PATH", &self.modules)
            .env("PAYLOG_SDK_TARGET", target.to_string())
            .env("PAYLOG_SDK_APP", app.to_string())
            .env_remove("NODE_OPTIONS")
            .kill_on_drop(true);
        for name in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"] {
            command.env_remove(name);
        }
        let output = tokio::time::timeout(TIMEOUT, command.output())
            .await
            .unwrap()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{name}: {}\n{said}{complaints}",
            output.status
        );
        said
    }
}
