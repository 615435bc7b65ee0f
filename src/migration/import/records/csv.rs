//! Reader of CSV in the form of LeanCloud's import: a row of types, a row of names, then the objects.

use std::io::{self, Read};

use csv::{ByteRecord, Reader, ReaderBuilder};
use serde_json::{Value, json};

use super::record::{Position, Record, RecordContent, RecordReader};
use crate::model::{Document, Timestamp};

pub(super) struct CsvReader<R> {
    reader: Reader<R>,
    columns: Vec<(String, CellType)>,
    at: Position,
    /// Records to return first: a notice, or the reason why nothing can be read.
    first: Vec<RecordContent>,
    is_over: bool,
    row: ByteRecord,
}

/// Reason why the two heading rows cannot be used.
enum HeadingError {
    /// The file cannot be read.
    File(io::Error),
    /// The rows are not a heading; the reason.
    Illegal(String),
}

impl From<io::Error> for HeadingError {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum CellType {
    Text,
    Number,
    Boolean,
    Date,
    Json,
    GeoPoint,
    Pointer(String),
    File,
    Bytes,
}

impl CellType {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some((kind, class)) = text.split_once(':')
            && kind.trim().eq_ignore_ascii_case("pointer")
        {
            return Some(Self::Pointer(class.trim().to_owned()));
        }
        Some(match text.to_ascii_lowercase().as_str() {
            "string" | "" => Self::Text,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            "date" => Self::Date,
            "array" | "object" | "acl" | "any" => Self::Json,
            "geopoint" => Self::GeoPoint,
            "file" => Self::File,
            "bytes" => Self::Bytes,
            _ => return None,
        })
    }

    fn value(&self, text: &str) -> Result<Value, String> {
        Ok(match self {
            Self::Text => text.into(),
            Self::Number => match text.trim().parse::<i64>() {
                Ok(integer) => integer.into(),
                Err(_) => match text.trim().parse::<f64>() {
                    Ok(double) if double.is_finite() => double.into(),
                    _ => return Err(format!("'{text}' is no number")),
                },
            },
            Self::Boolean => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "1" => true.into(),
                "false" | "0" => false.into(),
                _ => return Err(format!("'{text}' is neither true nor false")),
            },
            Self::Date => {
                let time =
                    Timestamp::parse(text.trim()).map_err(|_| format!("'{text}' is no time in ISO 8601"))?;
                time.to_date()
            }
            Self::Json => {
                serde_json::from_str(text).map_err(|error| format!("'{text}' is no JSON: {error}"))?
            }
            Self::GeoPoint => {
                let mut degrees = text
                    .split([' ', ','])
                    .filter(|part| !part.is_empty())
                    .map(str::parse::<f64>);
                match (degrees.next(), degrees.next(), degrees.next()) {
                    (Some(Ok(longitude)), Some(Ok(latitude)), None) => {
                        json!({"__type": "GeoPoint", "latitude": latitude, "longitude": longitude})
                    }
                    _ => return Err(format!("'{text}' is not a longitude and a latitude")),
                }
            }
            Self::Pointer(class) => json!({"__type": "Pointer", "className": class, "objectId": text.trim()}),
            Self::File => json!({"__type": "File", "id": text.trim()}),
            Self::Bytes => json!({"__type": "Bytes", "base64": text.trim()}),
        })
    }
}

impl<R: Read> CsvReader<R> {
    pub(super) fn open(reader: R, start: Position, remark: Option<String>) -> io::Result<Self> {
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(reader);
        let mut table = Self {
            reader,
            columns: Vec::new(),
            at: Position::default(),
            first: remark.into_iter().map(RecordContent::Remark).collect(),
            is_over: false,
            row: ByteRecord::new(),
        };
        match table.read_heading() {
            Ok(()) => {}
            Err(HeadingError::File(error)) => return Err(error),
            Err(HeadingError::Illegal(reason)) => {
                table.first.push(RecordContent::Broken(reason));
                table.is_over = true;
                return Ok(table);
            }
        }
        while table.at.index < start.index && table.read_row()? {
            table.at.index += 1;
        }
        Ok(table)
    }

    fn read_row(&mut self) -> io::Result<bool> {
        let there = self
            .reader
            .read_byte_record(&mut self.row)
            .map_err(io::Error::other)?;
        if let Some(position) = self.row.position() {
            self.at.line = position.line();
        }
        self.at.offset = self.reader.position().byte();
        Ok(there)
    }

    fn texts(&self) -> Result<Vec<String>, String> {
        let texts = self
            .row
            .iter()
            .map(|cell| std::str::from_utf8(cell).map(ToOwned::to_owned));
        texts
            .collect::<Result<_, _>>()
            .map_err(|_| "the text is not UTF-8".to_owned())
    }

    /// Reads the row of types and the row of names.
    fn read_heading(&mut self) -> Result<(), HeadingError> {
        if !self.read_row()? {
            return Err(HeadingError::Illegal(
                "the file is empty: a row of types and a row of names are expected".to_owned(),
            ));
        }
        let types = self.texts().map_err(HeadingError::Illegal)?;
        // A relation may come without types.
        if types.iter().any(|name| name.trim() == "owningId") {
            self.columns = types
                .iter()
                .map(|name| (name.trim().to_owned(), CellType::Text))
                .collect();
            return Ok(());
        }
        if !self.read_row()? {
            return Err(HeadingError::Illegal("the row of names is missing".to_owned()));
        }
        let names = self.texts().map_err(HeadingError::Illegal)?;
        if names.len() != types.len() {
            return Err(HeadingError::Illegal(format!(
                "{} types stand over {} names",
                types.len(),
                names.len()
            )));
        }
        for (type_name, name) in types.iter().zip(names) {
            let name = name.trim().to_owned();
            let cell_type = match name.as_str() {
                "objectId" | "createdAt" | "updatedAt" => Some(CellType::Text),
                "ACL" => Some(CellType::Json),
                _ => CellType::parse(type_name),
            };
            let Some(cell_type) = cell_type else {
                return Err(HeadingError::Illegal(format!(
                    "'{type_name}' over the column '{name}' is no type: the first row holds types (string, number, \
                     boolean, date, array, object, geopoint, file, pointer:Class), and the second row names"
                )));
            };
            self.columns.push((name, cell_type));
        }
        Ok(())
    }

    fn object(&self) -> Result<Document, String> {
        let cells = self.texts()?;
        if cells.len() > self.columns.len() {
            return Err(format!(
                "the row has {} cells for {} columns",
                cells.len(),
                self.columns.len()
            ));
        }
        let mut document = Document::new();
        for ((name, cell_type), cell) in self.columns.iter().zip(cells) {
            if !cell.is_empty() {
                let value = cell_type
                    .value(&cell)
                    .map_err(|reason| format!("column '{name}': {reason}"))?;
                document.insert(name.clone(), value);
            }
        }
        Ok(document)
    }
}

impl<R: Read> RecordReader for CsvReader<R> {
    fn next(&mut self) -> io::Result<Option<Record>> {
        let mut content = (!self.first.is_empty()).then(|| self.first.remove(0));
        let mut text = String::new();
        if content.is_none() {
            if self.is_over || !self.read_row()? {
                return Ok(None);
            }
            self.at.index += 1;
            content = Some(match self.object() {
                Ok(document) => RecordContent::Object(document),
                Err(reason) => RecordContent::Broken(reason),
            });
            let cells = self
                .row
                .iter()
                .map(|cell| String::from_utf8_lossy(cell).into_owned());
            text = cells.collect::<Vec<_>>().join(",");
        }
        Ok(content.map(|content| Record {
            end: self.at,
            content,
            text,
        }))
    }
}
