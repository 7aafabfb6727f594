-- wrk's side of load.py: one request again and again, each with the cookie of a session that has no other on its way.
--
-- Arguments: file with a cookie a line; path; body, in which $n stands for the session's number; pattern of the right
-- answer, whose capture, if it has one, is that number; status of the right answer; header that it must have, or "";
-- mean pause before each request in milliseconds.

local threads = {}

function setup(thread)
  threads[#threads + 1] = thread
end

function init(arguments)
  wrong, example = 0, ""
  cookies, free, busy = {}, {}, {}
  for line in io.lines(arguments[1]) do
    cookies[#cookies + 1] = line
    free[#free + 1] = #free + 1
  end
  -- A ring: where the next free session stands, and how many there are.
  head, count = 0, #cookies
  path, body, pattern = arguments[2], arguments[3], arguments[4]
  status, header = tonumber(arguments[5]), arguments[6]
  numbered = pattern:find("(", 1, true) ~= nil
  local pause = tonumber(arguments[7])
  if pause > 0 then
    delay = function() return math.floor(pause * (0.5 + math.random())) end
  end
end

local function fault(text)
  wrong = wrong + 1
  if example == "" then example = text:sub(1, 200) end
end

local function take()
  if count == 0 then
    fault("no session is free")
    return 1
  end
  local number = free[head + 1]
  head = (head + 1) % #cookies
  count = count - 1
  return number
end

local function give(number)
  free[(head + count) % #cookies + 1] = number
  count = count + 1
end

function request()
  local headers = { ["Content-Type"] = "application/json" }
  local number = 0
  if #cookies > 0 then
    number = take()
    headers["Cookie"] = cookies[number]
    if numbered then
      busy[number] = true
    else
      give(number)  -- The answer will not say whose it is: the sessions take turns.
    end
  end
  return wrk.format("POST", path, headers, (body:gsub("$n", number)))
end

function response(got, headers, text)
  if got ~= status then
    fault(got .. " " .. text)
    return
  end
  local found = text:match(pattern)
  if not found then
    fault(text)
  elseif header ~= "" and not headers[header] then
    fault("no " .. header)
  elseif numbered then
    local number = tonumber(found)
    if not busy[number] then
      fault("an answer to another session: " .. text)
    end
    busy[number] = nil
    give(number)
  end
end

function done(summary, latency)
  local faults, text = 0, ""
  for _, thread in ipairs(threads) do
    faults = faults + thread:get("wrong")
    if text == "" then text = thread:get("example") end
  end
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %.6f, "p50": %.6f, "p99": %.6f, "wrong": %d, "broken": %d, "example": "%s"}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e6, latency:percentile(99) / 1e6, faults,
    errors.connect + errors.read + errors.write + errors.timeout, (text:gsub('[%c"\\]', " "))
  ))
end
