package ftpclient_test

import (
	"fmt"
	"log"

	"github.com/corexalgo/ftpclient"
)

func ExampleLoadConfig() {
	cfg, err := ftpclient.LoadConfig("testdata/config/servers.yaml")
	if err != nil {
		log.Fatal(err)
	}
	legacy := cfg.Servers["legacy"]
	fmt.Println(legacy.Host, legacy.Port, legacy.Encoding)
	fmt.Println("password:", legacy.Password)
	// Output:
	// 192.0.2.10 2121 gbk
	// password: [redacted]
}

func ExampleParseURL() {
	server, path, err := ftpclient.ParseURL("ftpes://user:p%40ss@ftp.example.com:2121//pub/a%20file.txt")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(server.Username, server.Password, server.Host, server.Port, server.TLS)
	fmt.Println(path)

	_, path, err = ftpclient.ParseURL("ftp://ftp.example.com/pub/file.txt")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(path) // relative to the login directory
	// Output:
	// user [redacted] ftp.example.com 2121 explicit
	// /pub/a file.txt
	// pub/file.txt
}
