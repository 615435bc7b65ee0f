//! Hooks of the realtime service.

/// A function that only the realtime service may call. LeanCloud's guide to instant messaging lists its parameters and
/// the keys of its result; the type of a handler's [`Params`](crate::engine::Params) names those it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "LeanCloud's names of its hooks")]
pub enum RealtimeHook {
    MessageReceived,
    ReceiversOffline,
    MessageSent,
    MessageUpdate,
    ConversationStart,
    ConversationStarted,
    ConversationAdd,
    ConversationRemove,
    ConversationAdded,
    ConversationRemoved,
    ConversationUpdate,
    ClientOnline,
    ClientOffline,
    RtmClientSign,
}

impl RealtimeHook {
    /// All realtime hooks.
    pub const ALL: [Self; 14] = [
        Self::MessageReceived,
        Self::ReceiversOffline,
        Self::MessageSent,
        Self::MessageUpdate,
        Self::ConversationStart,
        Self::ConversationStarted,
        Self::ConversationAdd,
        Self::ConversationRemove,
        Self::ConversationAdded,
        Self::ConversationRemoved,
        Self::ConversationUpdate,
        Self::ClientOnline,
        Self::ClientOffline,
        Self::RtmClientSign,
    ];

    /// Name of the function.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MessageReceived => "_messageReceived",
            Self::ReceiversOffline => "_receiversOffline",
            Self::MessageSent => "_messageSent",
            Self::MessageUpdate => "_messageUpdate",
            Self::ConversationStart => "_conversationStart",
            Self::ConversationStarted => "_conversationStarted",
            Self::ConversationAdd => "_conversationAdd",
            Self::ConversationRemove => "_conversationRemove",
            Self::ConversationAdded => "_conversationAdded",
            Self::ConversationRemoved => "_conversationRemoved",
            Self::ConversationUpdate => "_conversationUpdate",
            Self::ClientOnline => "_clientOnline",
            Self::ClientOffline => "_clientOffline",
            Self::RtmClientSign => "_rtmClientSign",
        }
    }
}
