"""What the document of the WebSocket says in words."""

from realtime.protocol.vocabulary import ClientFrame, CloseCode, ErrorCode

ABOUT = (
    "What happens on the Hyperliquid exchange, as it is stored. Frames are JSON texts; "
    "every channel's facts are numbered by `seq`, without holes."
)
PROMISES = (
    "Who subscribes to a whole event channel sees every `seq` once, in order, without a hole. "
    "On a state channel what is newer than the coin's newest is sent.",
    "A frame depends on its fact alone: it has the same bytes live, in a snapshot, in a batch and in a resume.",
    "`snapshot` begins with what there is, and the live frames go on from its `seq`: nothing lost, nothing twice.",
    "`since` goes on behind a `seq`, after a restart and on another server too; "
    "where that cannot be, a `gap` says first what is missing.",
    "Params are kept for each channel; subscribing again replaces that channel's. "
    "A param that at least one of the named channels knows is ignored for the others.",
    "Who reads too slowly falls behind alone: state channels then skip to the newest of each coin, "
    "event channels close with 4408 once the server keeps no more, and `since` goes on from there.",
)
REQUESTS = {
    ClientFrame.SUBSCRIBE: "Subscribe to channels, or give their subscriptions other params.",
    ClientFrame.UNSUBSCRIBE: "End subscriptions.",
    ClientFrame.PING: "See whether the server lives.",
    ClientFrame.GET_SUBSCRIPTIONS: "Ask what this connection is subscribed to.",
    ClientFrame.HELLO: "Ask where the streams are, and for the epoch and the limits.",
}
ERRORS = {
    ErrorCode.INVALID_MESSAGE: "Not a frame: no JSON object, binary, an unknown type, a field of the wrong type.",
    ErrorCode.INVALID_CHANNEL: "There is no such channel.",
    ErrorCode.INVALID_PARAMS: "A param is unknown to all of the channels, missing, or has a value that cannot be.",
    ErrorCode.UNAUTHORIZED: "A token is needed, or this one is not valid. Who is not let in sees 4401.",
    ErrorCode.INTERNAL_ERROR: "The server cannot do it now; the message says what to do.",
    ErrorCode.RATE_LIMITED: "Too many frames in a short time.",
    ErrorCode.LIMIT_EXCEEDED: "More than one connection may have.",
}
CLOSES = {
    CloseCode.GOING_AWAY: "The server goes away, its database is away, or its numbers start anew: connect again.",
    CloseCode.FRAME_TOO_LARGE: "A frame from the client was longer than the server takes.",
    CloseCode.TOO_MANY_BAD_FRAMES: "Too many frames that could not be.",
    CloseCode.UNAUTHORISED: "This origin is not allowed, or the token is not valid, or no longer.",
    CloseCode.TOO_SLOW: "Read too slowly and is further behind than the server keeps: connect again, with `since`.",
    CloseCode.TOO_MANY_CONNECTIONS: "Too many connections.",
}
