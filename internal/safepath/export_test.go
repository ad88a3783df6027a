package safepath

// CheckLocalOn is CheckLocal with the rules of Windows or without.
var CheckLocalOn = checkLocal
