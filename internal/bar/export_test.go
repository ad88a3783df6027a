package bar

func FormatSize(n int64) string { return formatSize(n) }
