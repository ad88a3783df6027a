package wire

// NewReadAhead is how a data connection under TLS reads its socket.
var NewReadAhead = newReadAhead

// MuchWaiting makes it take much at once.
const MuchWaiting = muchWaiting
