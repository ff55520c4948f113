-- Requests from a file, as they are: wrk ... -s gateway.lua URL -- FILE once|again
-- FILE has whole requests with a zero byte behind each. `once`: each is sent once, then the run ends; `again`: from the
-- beginning again. The last line of the output is one JSON object.
local requests, count, at, again = {}, 0, 0, false

function init(arguments)
   local file = assert(io.open(arguments[1], "rb"))
   for one in file:read("*a"):gmatch("[^%z]+") do
      count = count + 1
      requests[count] = one
   end
   file:close()
   again = arguments[2] == "again"
end

function request()
   at = at + 1
   if at > count then
      if not again then wrk.thread:stop() end
      at = 1
   end
   return requests[at]
end

function done(summary, latency, _)
   local failed = summary.errors
   io.write(string.format(
      '{"requests":%d,"duration_us":%d,"p50_us":%.1f,"p99_us":%.1f,"refused":%d,"lost":%d}\n',
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), failed.status,
      failed.connect + failed.read + failed.write + failed.timeout))
end
