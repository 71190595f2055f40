//! The messages of the three sockets, one enum a direction.
//!
//! A message is `{"type": "job:cmd:stdout", "args": ["<job id>", 3, "text"]}`; `args` are positional. A frame holds one
//! message or an array of them. Unknown types and unknown trailing args are ignored (the reader counts them), so that
//! versions can differ. [`frame`] has the codec; [`to_drone`], [`to_queen`], [`event`] and [`live`] the words.

pub mod event;
pub mod frame;
pub mod live;
pub mod to_drone;
pub mod to_queen;

pub use event::JobEvent;
pub use frame::{FRAME_LIMIT, Frame, FrameError, Message};
pub use to_drone::{Lease, Role, RunFile, ToDrone};
pub use to_queen::{Hello, Info, Resume, ResumeJob, ToQueen};

/// The protocol's version. A drone says which it speaks; the queen takes the highest that both know.
pub const VERSION: u32 = 1;
/// The WebSocket subprotocol between queen and drone.
pub const DRONE_PROTOCOL: &str = "skep.drone.v1";
/// The WebSocket subprotocol between queen and browser.
pub const LIVE_PROTOCOL: &str = "skep.live.v1";

/// Defines an enum of messages with positional args: `Variant = "type" { field: Type, … }`.
///
/// Serializes as `{"type": …, "args": […]}`. A missing trailing arg reads as `null`, so an `Option` may be left out.
macro_rules! messages {
    (
        $(#[$doc:meta])*
        pub enum $name:ident {
            $( $(#[$vdoc:meta])* $variant:ident = $kind:literal {
                $( $(#[$fdoc:meta])* $field:ident : $ty:ty ),* $(,)?
            } ),* $(,)?
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        #[expect(missing_docs, reason = "the args are named in the message table; their types say the rest")]
        pub enum $name {
            $( $(#[$vdoc])* $variant { $( $(#[$fdoc])* $field: $ty ),* } ),*
        }

        impl $name {
            /// Every type word of this direction.
            pub const TYPES: &'static [&'static str] = &[$($kind),*];

            /// The type word of this message.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self { $( Self::$variant { .. } => $kind ),* }
            }

            /// Reads a message; `None` for a type that this direction does not know.
            pub fn read(
                message: &$crate::protocol::Message<'_>,
            ) -> Result<Option<Self>, $crate::protocol::FrameError> {
                #[allow(unused_mut, unused_variables, clippy::allow_attributes, reason = "not every message has args")]
                let mut args = $crate::protocol::frame::Args::of(message);
                Ok(Some(match &*message.kind {
                    $( $kind => Self::$variant { $( $field: args.next(stringify!($field))? ),* }, )*
                    _ => return Ok(None),
                }))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
                match self {
                    $( Self::$variant { $( $field ),* } =>
                        $crate::protocol::frame::write(out, $kind, &( $( $crate::protocol::frame::Arg($field), )* )) ),*
                }
            }
        }
    };
}
pub(crate) use messages;
