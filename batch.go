package ftpclient

// Direction says which way the content of a file moves.
type Direction int

// The directions of a Job.
const (
	Down Direction = iota // from the server to the local file system
	Up                    // from the local file system to the server
)

// String is "download" or "upload".
func (d Direction) String() string {
	if d == Up {
		return "upload"
	}
	return "download"
}

// A Job names one file to move.
type Job struct {
	Direction     Direction
	Server        string // key in Config.Servers
	Remote, Local string // "" for the local side where it is a reader or a writer
}
