-- wrk's side of `episodes()` in load.py: whole episodes, one after the other, in each thread's one connection.
--
-- Arguments: file whose lines are the paths and bodies of an episode's requests in turn; episodes for each thread.
-- A thread says "finished" when it has played them. The cookie is taken from each answer that brings one.

local threads = {}

function setup(thread)
  threads[#threads + 1] = thread
end

function init(arguments)
  wrong, example, finished = 0, "", 0
  requests, step, cookie = {}, 0, nil
  local path
  for line in io.lines(arguments[1]) do
    if path then
      requests[#requests + 1] = { path, line }
      path = nil
    else
      path = line
    end
  end
  wanted = tonumber(arguments[2])
end

function request()
  local headers = { ["Content-Type"] = "application/json" }
  local path, body = unpack(requests[step + 1])
  if step > 0 then headers["Cookie"] = cookie end
  return wrk.format("POST", path, headers, body)
end

function response(status, headers, text)
  if status ~= 200 then
    wrong = wrong + 1
    if example == "" then example = status .. " " .. text:sub(1, 200) end
  end
  local set = headers["Set-Cookie"] or headers["set-cookie"]
  if set then cookie = set:match("^[^;]+") end
  step = (step + 1) % #requests
  if step == 0 then
    finished = finished + 1
    if finished == wanted then
      io.write("finished\n")
      io.flush()
      wrk.thread:stop()
    end
  end
end

function done(summary)
  local faults, text, episodes = 0, "", 0
  for _, thread in ipairs(threads) do
    faults = faults + thread:get("wrong")
    episodes = episodes + thread:get("finished")
    if text == "" then text = thread:get("example") end
  end
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "episodes": %d, "wrong": %d, "broken": %d, "example": "%s"}\n',
    summary.requests, episodes, faults, errors.connect + errors.read + errors.write + errors.timeout,
    (text:gsub('[%c"\\]', " "))
  ))
end
