#!/usr/bin/env lua
-- Print the primes up to a number.
-- $ cloister exec --lang auto examples/primes.lua 20
-- 2 3 5 7 11 13 17 19

local limit = tonumber(arg[1] or 100)
local found = {}
for candidate = 2, limit do
  local is_prime = true
  for _, prime in ipairs(found) do
    if candidate % prime == 0 then
      is_prime = false
      break
    end
  end
  if is_prime then
    found[#found + 1] = candidate
  end
end
print(table.concat(found, " "))
