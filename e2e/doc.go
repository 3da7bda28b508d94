// Package e2e tests the built program as others see it: over HTTP, through proxies, with a
// browser, with other people's clients, on a full disk, after kill -9.
//
// make test runs what takes short, make test-long (LONG=1) everything. One test:
//
//	go test -run TestRollingRestart .
//
// What the API answers:
//
//	api_account_test.go      one's own account: profile, password, deletion
//	api_accountpage_test.go  the account page: a tour, by keyboard, with axe-core
//	api_accountpagefaults_test.go the account page when requests fail, and its password dialog
//	api_accountpageplaces_test.go the account page without scripts, in a frame, below a prefix; its pictures
//	api_accountpageraces_test.go  answers that come late, and who is there by then
//	api_accountpagetabs_test.go the account page in several tabs, with odd names, left and come back to
//	api_admin_test.go        what administrators may do, and nobody else
//	api_adminchanges_test.go what administrators do to other users
//	api_adminusers_test.go   GET /users/: search and pages
//	api_clients_test.go      generated clients and OAuth libraries; see clients/
//	api_credentials_test.go  API keys that are exchanged for tokens
//	api_docs_test.go         the documentation page in a browser
//	api_events_test.go       what happened: for administrators, and for oneself
//	api_forgery_test.go      tokens that nobody here has signed, in every mode
//	api_introspect_test.go   introspection
//	api_keyclients_test.go   API keys of programs, also with OAuth libraries of others
//	api_keylimits_test.go    what is no API key, and what no API key can do
//	api_keys_test.go         API keys, on every store
//	api_logout_test.go       revocation
//	api_module_test.go       latchkey.js in Node, and its types; see module/
//	api_narrow_test.go       sessions and keys that may do less than their user
//	api_oauth_test.go        golang.org/x/oauth2
//	api_ownevents_test.go    events of one's own; floods, odd clients
//	api_pages_test.go        latchkey.js on pages of one's own, in a browser
//	api_services_test.go     services that verify tokens themselves; see ../examples/
//	api_sessions_test.go     sessions and refresh tokens, on every store
//	api_throttle_test.go     limits on guessing, on every store
//	api_verified_test.go     /verify: what it says, and bodies that it does not read
//	api_verify_test.go       /verify, where proxies ask: who may pass
//
// What HTTP itself can do to a server:
//
//	edge_body_test.go        large bodies, bodies cut off, uploads
//	edge_certificate_test.go certificates that change
//	edge_cors_test.go        pages of other origins, in a browser, too
//	edge_crowds_test.go      many slow, idle or half-closed clients at once
//	edge_flood_test.go       floods of logins and registrations
//	edge_forwardauth_test.go proxies that ask before they pass a request on; see ../examples/
//	edge_nginx_test.go       behind nginx
//	edge_routes_test.go      paths, methods, targets
//	edge_slow_test.go        one slow client
//	edge_smuggling_test.go   requests that two readers could take apart differently
//	edge_tls_test.go         TLS and HTTP/2
//	edge_wellknown_test.go   key sets, and what a server says of itself
//	edge_wire_test.go        malformed requests, byte by byte
//
// Where the users live:
//
//	store_cuts_test.go          PostgreSQL: connections cut at every point of a request
//	store_events_test.go        events: replicas, kill -9, a table that is locked or gone
//	store_keys_test.go          PostgreSQL: keys, also in an outage; a rotation under load
//	store_network_test.go       PostgreSQL: a network that loses, delays and says nothing
//	store_outage_test.go        PostgreSQL: a server that goes away, and a failover
//	store_pgbouncer_test.go     PostgreSQL behind PgBouncer
//	store_postgres_test.go      PostgreSQL: replicas, collisions, names, time zones
//	store_postgresstart_test.go PostgreSQL: starts that have to wait, or are refused
//	store_replicas_test.go      several servers at one database
//	store_restart_test.go       what survives a restart
//	store_schema_test.go        databases of older versions
//	store_sqlite_test.go        SQLite: files, modes, two servers
//	store_sqlitecrowd_test.go   SQLite: 64 clients, kill -9, power cuts and a full disk
//	store_sqlitefaults_test.go  SQLite: kill -9, power cuts, a full disk, a file that goes away
//
// What an operator does. The units run under systemd in a container of systemd-nspawn, with a
// filter that kills at any other system call. Buildah builds the image, with a busybox and this
// machine's Go in place of golang:1.26. Nothing here needs a Docker daemon or a registry.
//
//	ops_admin_test.go        the first administrator
//	ops_backup_test.go       backup beside a server, interrupted, on a full disk; restore
//	ops_deploy_test.go       the units of deploy/ under systemd
//	ops_drain_test.go        a stop with a delay
//	ops_haproxy_test.go      a rolling restart behind HAProxy
//	ops_image_test.go        the Containerfile, the manifests, and the example of Envoy; see manifests/
//	ops_keys_test.go         algorithms, and keys that rotate
//	ops_life_test.go         start, command line, stop
//	ops_log_test.go          the log when nobody reads it, and in a flood
//	ops_metrics_test.go      what METRICS_ADDR serves, and when
//	ops_moving_test.go       moving in by the recipes of docs/moving-in.md; see moving/
//	ops_pastes_test.go       the shell lines of docs/your-own-services.md
//	ops_prometheus_test.go   a Prometheus that scrapes; alerts and the dashboard; see metrics/
//	ops_readme_test.go       the commands and the JavaScript of README.md and docs/
//	ops_ready_test.go        ready: servers that start, stop, hang or lose their database
//	ops_ring_test.go         rings of keys that a server finds, and what it adds to them
//	ops_ringrows_test.go     rows of a ring that make no sense, and a thief who has them
//	ops_rolling_test.go      two servers that are replaced under load
//	ops_seccomp_test.go      a filter of system calls
//	ops_services_test.go     services and their keys: commands, secrets, replicas
//	ops_settings_test.go     settings that only the running program shows
//	ops_soak_test.go         mixed traffic for long: is memory flat?
//	ops_systemd_test.go      sockets of systemd, and what it is told
//
// What the command line does:
//
//	cmd_apikeys_test.go      API keys that commands make, at servers and with golang.org/x/oauth2
//	cmd_events_test.go       commands are events
//	cmd_export_test.go       users export
//	cmd_import_test.go       users import: what becomes of good files, also when repeated
//	cmd_importfaults_test.go users import: Ctrl-C, kill -9, a full disk, a server beside it
//	cmd_importfiles_test.go  users import: files of other kinds, line ends, dumps, dry runs
//	cmd_importlines_test.go  users import: bad lines and their report
//	cmd_keys_test.go         keys rotate and list
//	cmd_line_test.go         wrong usage, stores that cannot be used, completion
//	cmd_list_test.go         users list
//	cmd_passwords_test.go    passwords on standard input
//	cmd_terminal_test.go     prompts and progress on a terminal, and signals at a prompt
//	cmd_users_test.go        add, passwd, grant and the others, beside servers
//
// How fast it is (make bench). The bare programs to compare with are in bare/, other servers in
// peers/, and figures/ keeps the results and draws them:
//
//	bench_events_test.go     logins with and without events
//	bench_flood_test.go      others during a flood of logins; failed logins
//	bench_growth_test.go     GET /users/me/ with 1,000 to 1,000,000 users
//	bench_import_test.go     users import and users export
//	bench_lists_test.go      GET /users/ of many users, also by many at once
//	bench_metrics_test.go    GET /users/me/ with and without METRICS_ADDR
//	bench_migration_test.go  a start with a database from before events
//	bench_refresh_test.go    refreshes
//	bench_requests_test.go   GET /users/me/, /verify, logins, the start
//	bench_stores_test.go     GET /users/me/ on databases
//	bench_tokens_test.go     the public keys; client credentials; tokens of ES256
//
// What the tests have in common:
//
//	accountpage_test.go      the account page in a tab
//	admin_test.go            administrators, and what they are shown
//	apikey_test.go           API keys, and what they are exchanged for
//	browser_test.go          Chromium
//	conn_test.go             a connection, byte by byte
//	example_test.go          what is in examples/, and tokens for it
//	grant_test.go            tokens and sessions
//	guesses_test.go          wrong passwords, from many sources
//	guests_test.go           users who come while something fails
//	job_test.go              commands that a test watches or interrupts
//	machine_test.go          a container in which systemd is process 1
//	map_test.go              checks this list
//	metrics_test.go          what /metrics says
//	proxy_test.go            a TCP proxy that cuts, delays and swallows
//	record_test.go           the log of a server, and the search for secrets in it
//	request_test.go          requests, and what must be true of every answer
//	ring_test.go             keys as services see them, and rings in a database
//	server_test.go           builds and runs the program
//	terminal_test.go         a pseudo-terminal with a command on it
//	tool_test.go             other programs
//	traffic_test.go          200 requests a second, none of which may fail
//	userfile_test.go         files of users to import, and lists of them
//	workfolder_test.go       a folder to move from, with the old data and databases
package e2e
