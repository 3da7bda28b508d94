-- verify asks Latchkey about a request. It sets txn.status and txn.challenge, and, if the
-- status is 200, the headers that say who sent the request.
local identity = { "remote-user", "remote-uid", "remote-groups", "remote-email" }

core.register_action("verify", { "http-req" }, function(txn, url)
	local sent = txn.http:req_get_headers()["authorization"]
	local answer = core.httpclient():get({
		url = url,
		headers = sent and { authorization = { sent[0] } } or {},
		timeout = 6000, -- Latchkey answers within five seconds, even if its database is down
	})
	local status = answer and answer.status or 503
	txn:set_var("txn.status", status)
	if status == 200 then
		for _, name in ipairs(identity) do
			txn.http:req_set_header(name, answer.headers[name] and answer.headers[name][0] or "")
		end
	elseif answer and answer.headers["www-authenticate"] then
		txn:set_var("txn.challenge", answer.headers["www-authenticate"][0])
	end
end, 1)
