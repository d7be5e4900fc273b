-- For wrk: POST the optional argument as JSON, and print requests per second and median latency
-- in ms.
init = function(arguments)
    if arguments[1] then
        wrk.method = "POST"
        wrk.headers["Content-Type"] = "application/json"
        wrk.body = arguments[1]
    end
end

done = function(summary, latency)
    local failed = summary.errors.status + summary.errors.timeout + summary.errors.connect
    io.write(string.format('\n{"rate": %f, "p50": %f, "failed": %d}\n',
        summary.requests / summary.duration * 1e6, latency:percentile(50) / 1e3, failed))
end
