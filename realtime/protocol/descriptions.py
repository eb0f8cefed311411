"""Texts of the AsyncAPI document and of `/docs/ws`, for the authors of clients."""

from realtime.protocol.vocabulary import ClientFrame, CloseCode, ErrorCode

OVERVIEW = (
    "Facts of the Hyperliquid exchange as soon as they are stored. Frames are JSON texts. "
    "The facts of each channel have consecutive numbers, `seq`."
)
GUARANTEES = (
    "An event channel without filters sends every `seq` once, in order, without a hole. "
    "A state channel sends each state that is newer than the latest one of its coin.",
    "A frame depends on its fact alone: it has the same bytes live, in a snapshot, in a batch and after a resume.",
    "`snapshot` begins with stored facts, and live frames continue from its `seq` without loss or repetition.",
    "`since` continues after a `seq`, also after a restart and on another server. "
    "If events are missing, a `gap` frame comes first and names their range.",
    "Each channel has its own params. Another `subscribe` to a channel replaces them. "
    "In a request for several channels, each channel ignores the params that only others have.",
    "A slow client never delays others. A state channel skips to the latest state of each coin. "
    "An event channel closes with 4408 once the server's history is exceeded; `since` continues from there.",
)
REQUESTS = {
    ClientFrame.SUBSCRIBE: "Subscribes to channels, or replaces the params of existing subscriptions.",
    ClientFrame.UNSUBSCRIBE: "Ends the subscriptions to channels.",
    ClientFrame.PING: "Checks the connection and requests the positions of its subscriptions.",
    ClientFrame.GET_SUBSCRIPTIONS: "Requests the subscriptions of this connection and their params.",
    ClientFrame.HELLO: "Requests the epoch, the limits, the range of each channel and the positions of the connection.",
    ClientFrame.AUTHENTICATE: "Sends the API key as the first frame, in place of the URL parameter `token`.",
}
ERRORS = {
    ErrorCode.INVALID_MESSAGE: "The frame is no JSON object or is binary, or its type or the type of a field is wrong.",
    ErrorCode.INVALID_CHANNEL: "There is no such channel.",
    ErrorCode.INVALID_PARAMS: "A param is unknown to all of the channels, is missing, or has an invalid value.",
    ErrorCode.UNAUTHORIZED: "The token is missing or invalid. A rejected connection closes with 4401.",
    ErrorCode.INTERNAL_ERROR: "The server cannot handle the request now; the message says what to do.",
    ErrorCode.RATE_LIMITED: "Too many frames in a short time. Control frames and fragments count as frames.",
    ErrorCode.LIMIT_EXCEEDED: "The request exceeds a limit of the connection.",
}
CLOSES = {
    CloseCode.GOING_AWAY: "The server stops, its database is unavailable, or the numbers start again: reconnect.",
    CloseCode.FRAME_TOO_LARGE: "A frame from the client was longer than the server accepts.",
    CloseCode.TOO_MANY_BAD_FRAMES: "The client sent too many invalid frames, control frames or fragments.",
    CloseCode.UNAUTHORISED: "The origin is not allowed, or the token is missing, invalid, revoked or expired.",
    CloseCode.UNKNOWN_PATH: "There is no WebSocket at this path; connect to /ws.",
    CloseCode.TOO_SLOW: "The client reads too slowly and fell behind the server's history: reconnect with `since`.",
    CloseCode.TOO_MANY_CONNECTIONS: "Too many connections, in total or from one address.",
}
