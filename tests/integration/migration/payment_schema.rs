//! The payments' classes after an import: a server can serve the data.

use std::path::{Path, PathBuf};

use paylog::environment::Environment;
use paylog::model::{Class, ClassName, ClassPermissions, SchemaChange};
use paylog::storage::SqliteStore;
use paylog::store::Database;
use tempfile::TempDir;

use crate::support::program::{Server, launch, refusal, run, serve, stderr, stdout};

const TIMES: &str = r#""createdAt":"2020-01-01T00:00:00.000Z","updatedAt":"2020-01-01T00:00:00.000Z""#;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn class(name: &str) -> ClassName {
    ClassName::parse(name).unwrap()
}

/// An export of LeanCloud's console, of an app with payments, and the folder for it.
struct Export {
    folder: TempDir,
    source: PathBuf,
    data: PathBuf,
}

impl Export {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (source, data) = (folder.path().join("export"), folder.path().join("data"));
        std::fs::create_dir(&source).unwrap();
        let export = Self { folder, source, data };
        export.write("_User", r#""username":"ming","account":500"#);
        export.write(
            "Log",
            r#""state":5,"key":"recharge:1","kind":"recharge","number":"1","amount":0,"legs":[],"outcome":"failed","reason":"9006 expired""#,
        );
        export.write(
            "Order",
            r#""number":"1","key":"ming:1","amount":100,"quantity":1,"status":"cancelled""#,
        );
        export.write("Product", r#""name":"a course","price":100,"onSale":true"#);
        export
    }

    fn write(&self, class: &str, fields: &str) {
        let row = format!(r#"{{"objectId":"5f0000000000000000000001",{fields},{TIMES}}}"#);
        std::fs::write(self.source.join(format!("{class}.0.jsonl")), row + "\n").unwrap();
    }

    fn import(&self) {
        let report = self.folder.path().join("report");
        let done = run(&[
            "import",
            text(&self.source),
            "--report",
            text(&report),
            "--data",
            text(&self.data),
        ]);
        assert!(done.status.success(), "{}{}", stdout(&done), stderr(&done));
    }

    fn store(&self) -> SqliteStore {
        SqliteStore::open(&self.data, Environment::system()).unwrap()
    }

    fn permissions(&self, name: &str) -> ClassPermissions {
        let store = SqliteStore::open_read_only(&self.data, Environment::system()).unwrap();
        store.schema().classes[&class(name)].permissions.clone()
    }

    async fn assert_can_be_served(&self) {
        assert!(Server::start(&self.data).await.stop().await.success());
        let doctor = run(&["doctor", "--data", text(&self.data)]);
        assert!(doctor.status.success(), "{}", stdout(&doctor));
    }
}

#[tokio::test]
async fn export_with_payments_can_be_served() {
    let export = Export::new();
    export.import();
    let store = export.store();
    let schema = store.schema();
    for (name, keys) in [
        ("Log", &["key", "requestKey", "number"][..]),
        ("Order", &["number", "key"]),
    ] {
        let class = &schema.classes[&class(name)];
        assert_eq!(class.permissions, ClassPermissions::master_only(), "{name}");
        for key in keys {
            let mut indexes = class.indexes.iter();
            assert!(
                indexes.any(|index| index.unique && index.keys == [*key]),
                "{name}.{key}"
            );
        }
    }
    assert!(schema.classes[&ClassName::user()].columns["account"].read_only);
    store.close().await;
    drop(store);
    export.import();
    export.assert_can_be_served().await;
}

#[tokio::test]
async fn audit_that_opens_accounts_prepares_their_class() {
    let export = Export::new();
    for name in ["Log", "Order", "Product"] {
        std::fs::remove_file(export.source.join(format!("{name}.0.jsonl"))).unwrap();
    }
    export.import();
    let opened = run(&["audit", "--open", "--data", text(&export.data)]);
    assert!(opened.status.success(), "{}{}", stdout(&opened), stderr(&opened));
    assert!(stdout(&opened).contains("held 500"), "{}", stdout(&opened));
    assert_eq!(export.permissions("Log"), ClassPermissions::master_only());
    export.assert_can_be_served().await;
}

#[tokio::test]
async fn existing_class_is_locked_only_on_request() {
    let export = Export::new();
    let store = export.store();
    let open = Class::initial(class("Log"));
    store.define(SchemaChange::CreateClass(open)).await.unwrap();
    store.close().await;
    drop(store);
    export.import();
    assert_ne!(export.permissions("Log"), ClassPermissions::master_only());
    for arguments in [&[][..], &["--allow-unsafe"]] {
        let error = refusal(&serve(&export.data).args(arguments).output().unwrap());
        assert!(
            error.contains("PAYLOG_LOG_CLASS") && error.contains("paylog doctor --lock"),
            "{error}"
        );
    }
    let locked = run(&["doctor", "--lock", "--data", text(&export.data)]);
    assert!(locked.status.success(), "{}{}", stdout(&locked), stderr(&locked));
    export.assert_can_be_served().await;
}

#[tokio::test]
async fn unrelated_class_of_the_same_name_is_unchanged() {
    let export = Export::new();
    export.write("Order", r#""number":7,"key":"table seven","dish":"noodles""#);
    export.import();
    assert_ne!(export.permissions("Order"), ClassPermissions::master_only());
    assert_eq!(export.permissions("Log"), ClassPermissions::master_only());
    let error = refusal(&serve(&export.data).output().unwrap());
    assert!(error.contains("PAYLOG_ORDER_CLASS"), "{error}");
    let mut renamed = serve(&export.data);
    renamed.env("PAYLOG_ORDER_CLASS", "PayOrder");
    let server = Server::started(launch(&mut renamed), &export.data).await;
    assert!(server.stop().await.success());
}

#[test]
fn failed_import_creates_no_folder() {
    let export = Export::new();
    let archive = export.folder.path().join("cut.tar.gz");
    let packed = std::process::Command::new("tar")
        .arg("czf")
        .arg(&archive)
        .arg("-C")
        .arg(export.folder.path())
        .arg("export")
        .status()
        .unwrap();
    assert!(packed.success());
    let bytes = std::fs::read(&archive).unwrap();
    std::fs::write(&archive, &bytes[..bytes.len() / 2]).unwrap();
    let empty = export.folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    for (source, said) in [
        (&archive, "cannot be read to its end"),
        (&empty, "nothing to import"),
    ] {
        let error = refusal(&run(&["import", text(source), "--data", text(&export.data)]));
        assert!(error.contains(said) && !error.contains("continues"), "{error}");
        assert!(!export.data.exists(), "{said}: a folder was made");
    }
}
