-- For wrk: GET /api/session with the cookies of the file named in COOKIES, one after the other.
local requests, turn = {}, 0

function init()
  for line in io.lines(os.getenv("COOKIES")) do
    requests[#requests + 1] = wrk.format("GET", "/api/session", { ["Cookie"] = line })
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end
