//! LeanCloud's built-in classes in their initial form.

use crate::model::user_secrets::SESSION_TOKEN;
use crate::model::{Class, ClassName, Column, ColumnType, Index, Permission};

impl Class {
    /// The class as created by a first write: a built-in class has LeanCloud's columns, permissions and indexes, any
    /// other has no columns and is public.
    #[must_use]
    pub fn initial(name: ClassName) -> Self {
        let class = Self::new(name);
        match class.name.as_str() {
            "_User" => class.with_user_columns(),
            "_Role" => class.with_role_columns(),
            "_File" => class.with_file_columns(),
            "_Installation" => class.with_installation_columns(),
            _ => class,
        }
    }

    fn with_user_columns(mut self) -> Self {
        self.add(&["username", "email", "mobilePhoneNumber"], &ColumnType::String);
        self.add(&["emailVerified", "mobilePhoneVerified"], &ColumnType::Boolean);
        self.add(&["authData"], &ColumnType::Object);
        // Not `bcryptPassword`: the class gets it with the first imported user.
        let secrets = ["password", "salt", SESSION_TOKEN];
        self.add(&secrets, &ColumnType::String);
        for name in secrets {
            if let Some(column) = self.columns.get_mut(name) {
                column.hidden = true;
            }
        }
        self.permissions.find = Permission::MasterOnly;
        for key in ["username", "email", "mobilePhoneNumber"] {
            self.add_unique(key);
        }
        self
    }

    fn with_role_columns(mut self) -> Self {
        self.add(&["name"], &ColumnType::String);
        self.add(
            &["users"],
            &ColumnType::Relation {
                class_name: ClassName::user(),
            },
        );
        self.add(
            &["roles"],
            &ColumnType::Relation {
                class_name: ClassName::role(),
            },
        );
        self.add_unique("name");
        self
    }

    /// A file's row never changes. It is deleted only with the file.
    fn with_file_columns(mut self) -> Self {
        self.add(
            &["name", "key", "url", "mime_type", "bucket", "provider"],
            &ColumnType::String,
        );
        self.add(&["metaData"], &ColumnType::Object);
        self.permissions.update = Permission::MasterOnly;
        self.permissions.delete = Permission::MasterOnly;
        self
    }

    fn with_installation_columns(mut self) -> Self {
        self.add(
            &[
                "deviceType",
                "deviceToken",
                "deviceProfile",
                "installationId",
                "timeZone",
                "apnsTeamId",
                "apnsTopic",
            ],
            &ColumnType::String,
        );
        self.add(&["channels"], &ColumnType::Array);
        self.add(&["badge"], &ColumnType::Number);
        self.add(&["valid"], &ColumnType::Boolean);
        self
    }

    fn add(&mut self, names: &[&str], column_type: &ColumnType) {
        for name in names {
            self.columns
                .insert((*name).to_owned(), Column::new(column_type.clone()));
        }
    }

    fn add_unique(&mut self, key: &str) {
        self.indexes.push(Index {
            keys: vec![key.to_owned()],
            unique: true,
            sparse: true,
        });
    }
}
