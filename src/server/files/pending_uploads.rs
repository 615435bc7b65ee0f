//! The uploads in parts that have begun and not ended.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::upload_body::too_large;
use super::upload_token::LIFETIME_MILLIS;
use crate::model::{CloudError, ObjectId, Timestamp};
use crate::store::files::StagedContent;

/// Uploads by the ids of their rows. The parts are in the file store, and go when their entry here is dropped.
#[derive(Debug, Default)]
pub(in crate::server) struct PendingUploads(Mutex<BTreeMap<ObjectId, PartUpload>>);

#[derive(Debug)]
struct PartUpload {
    expires: Timestamp,
    /// The parts by number, each with its ETag.
    parts: BTreeMap<u32, (String, Arc<dyn StagedContent>)>,
}

impl PartUpload {
    /// The bytes that the part of this number may have.
    fn room(&self, number: u32, bytes_max: u64) -> u64 {
        let others = self.parts.iter().filter(|(known, _)| **known != number);
        let bytes = others.map(|(_, (_, part))| part.size()).sum::<u64>();
        bytes_max.saturating_sub(bytes)
    }
}

impl PendingUploads {
    /// Begins an upload, without its earlier parts, and returns the time at which it expires.
    pub(super) fn begin(&self, id: &ObjectId, now: Timestamp) -> Timestamp {
        let expires = Timestamp::from_millis(now.as_millis().saturating_add(LIFETIME_MILLIS));
        let upload = PartUpload {
            expires,
            parts: BTreeMap::new(),
        };
        self.forget_expired(now);
        // Dropping removes parts from the disk: not under the lock.
        let replaced = self.lock().insert(id.clone(), upload);
        drop(replaced);
        expires
    }

    /// Returns the bytes that the part of this number may have.
    ///
    /// # Errors
    /// 404 for an unknown upload.
    pub(super) fn room(&self, id: &ObjectId, number: u32, bytes_max: u64) -> Result<u64, CloudError> {
        let uploads = self.lock();
        let upload = uploads.get(id).ok_or_else(not_begun)?;
        Ok(upload.room(number, bytes_max))
    }

    /// Adds a part, which replaces an earlier one of its number.
    ///
    /// # Errors
    /// 404 for an unknown upload; 413 if all parts together are too large.
    pub(super) fn add(
        &self,
        id: &ObjectId,
        number: u32,
        etag: &str,
        part: Arc<dyn StagedContent>,
        bytes_max: u64,
    ) -> Result<(), CloudError> {
        let mut uploads = self.lock();
        let upload = uploads.get_mut(id).ok_or_else(not_begun)?;
        // Other parts may have come since `room` was asked.
        if part.size() > upload.room(number, bytes_max) {
            return Err(too_large(bytes_max));
        }
        let replaced = upload.parts.insert(number, (etag.to_owned(), part));
        drop(uploads);
        drop(replaced);
        Ok(())
    }

    /// Returns the parts in order, if `listed` names all of them by number and ETag.
    ///
    /// # Errors
    /// 404 for an unknown upload; 400 for another list.
    pub(super) fn parts(
        &self,
        id: &ObjectId,
        listed: &[(u64, &str)],
    ) -> Result<Vec<Arc<dyn StagedContent>>, CloudError> {
        let uploads = self.lock();
        let upload = uploads.get(id).ok_or_else(not_begun)?;
        let is_all = listed.len() == upload.parts.len()
            && (1..)
                .zip(listed)
                .zip(&upload.parts)
                .all(|((place, (number, etag)), (kept, (known, _)))| {
                    place == *number && place == u64::from(*kept) && etag == known
                });
        if !is_all {
            return Err(CloudError::other(
                "invalid parts: all parts that were sent are listed, from 1 on without a gap, each with its etag",
            ));
        }
        Ok(upload.parts.values().map(|(_, part)| Arc::clone(part)).collect())
    }

    /// Removes an upload and its parts.
    pub(super) fn forget(&self, id: &ObjectId) {
        let forgotten = self.lock().remove(id);
        drop(forgotten);
    }

    /// Removes the expired uploads and their parts.
    pub(super) fn forget_expired(&self, now: Timestamp) {
        let forgotten: Vec<_> = self
            .lock()
            .extract_if(.., |_, upload| upload.expires < now)
            .collect();
        drop(forgotten);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ObjectId, PartUpload>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 404: an unknown upload.
fn not_begun() -> CloudError {
    CloudError::other("no such uploadId").with_status(404)
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;
    use crate::store::files::FileContent;

    #[derive(Debug)]
    struct Bytes(u64);

    impl StagedContent for Bytes {
        fn size(&self) -> u64 {
            self.0
        }

        fn content(self: Arc<Self>) -> FileContent {
            Box::pin(stream::empty())
        }
    }

    #[test]
    fn upload_is_bounded_and_ends_with_all_its_parts() {
        let uploads = PendingUploads::default();
        let id = ObjectId::parse("a").unwrap();
        let part = |size: u64| Arc::new(Bytes(size));
        let status = |result: Result<(), CloudError>| result.map_err(|error| error.status);
        assert!(uploads.room(&id, 1, 10).is_err());
        assert_eq!(status(uploads.add(&id, 1, "x", part(1), 10)), Err(404));
        uploads.begin(&id, Timestamp::from_millis(0));
        assert!(uploads.parts(&id, &[]).unwrap().is_empty());
        assert_eq!(status(uploads.add(&id, 1, "x", part(4), 10)), Ok(()));
        assert_eq!(status(uploads.add(&id, 2, "y", part(6), 10)), Ok(()));
        assert_eq!(status(uploads.add(&id, 3, "z", part(1), 10)), Err(413));
        // A part replaces itself.
        assert_eq!(uploads.room(&id, 2, 10).unwrap(), 6);
        assert_eq!(status(uploads.add(&id, 2, "w", part(5), 10)), Ok(()));
        assert_eq!(uploads.room(&id, 3, 10).unwrap(), 1);
        let parts = uploads.parts(&id, &[(1, "x"), (2, "w")]).unwrap();
        assert_eq!(parts.iter().map(|part| part.size()).collect::<Vec<_>>(), [4, 5]);
        let others: [&[(u64, &str)]; 6] = [
            &[],
            &[(1, "x")],
            &[(1, "x"), (2, "y")],
            &[(2, "w"), (1, "x")],
            &[(1, "x"), (3, "w")],
            &[(1, "x"), (2, "w"), (3, "z")],
        ];
        for other in others {
            assert_eq!(uploads.parts(&id, other).unwrap_err().status, 400, "{other:?}");
        }
        assert_eq!(status(uploads.add(&id, 4, "v", part(1), 10)), Ok(()));
        assert!(uploads.parts(&id, &[(1, "x"), (2, "w"), (4, "v")]).is_err());
        uploads.forget(&id);
        assert!(uploads.parts(&id, &[]).is_err());
    }

    #[test]
    fn upload_without_end_expires() {
        let uploads = PendingUploads::default();
        let [first, second, third] = ["a", "b", "c"].map(|id| ObjectId::parse(id).unwrap());
        let part = Arc::new(Bytes(1));
        uploads.begin(&first, Timestamp::from_millis(0));
        let kept: Arc<dyn StagedContent> = part.clone();
        uploads.add(&first, 1, "x", kept, 10).unwrap();
        assert_eq!(Arc::strong_count(&part), 2);
        uploads.begin(&second, Timestamp::from_millis(LIFETIME_MILLIS));
        assert!(uploads.room(&first, 1, 10).is_ok());
        uploads.begin(&third, Timestamp::from_millis(LIFETIME_MILLIS + 1));
        assert!(uploads.room(&first, 1, 10).is_err() && uploads.room(&second, 1, 10).is_ok());
        assert_eq!(Arc::strong_count(&part), 1);
        uploads.forget_expired(Timestamp::from_millis(2 * LIFETIME_MILLIS));
        assert!(uploads.room(&second, 1, 10).is_ok());
        // A second begin drops the parts.
        uploads.add(&second, 1, "x", part, 10).unwrap();
        uploads.begin(&second, Timestamp::from_millis(LIFETIME_MILLIS + 1));
        assert!(uploads.parts(&second, &[]).unwrap().is_empty());
    }
}
