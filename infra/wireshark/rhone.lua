-- Rhône's resume stamp for Wireshark and tshark: the Geneve option of class 0xFFF7, type 0x81, with
-- which a packet crosses to another chassis in the middle of the pipeline (docs/pipeline.md).
--
--   tshark -X lua_script:infra/wireshark/rhone.lua -r capture.pcap -O rhone
--
-- Wireshark has no table to register options in, so this looks at what its own dissector found.

local rhone = Proto("rhone", "Rhône resume stamp")

local STAGES = {
  [0] = "port-security", "pre-acl", "acl", "qos", "load-balancing", "stateful", "l2", "routing",
  "post-routing", "nat", "egress-pre-acl", "egress-acl", "egress-qos", "egress-stateful",
  "egress-port-security", "output",
}
local REASONS = {
  [0] = "egress", "owner", "nat-owner", "gateway", "balance", "placement", "denied", "answer",
  "rule-answer",
}
local OPTION_CLASS = 0xfff7
local OPTION_TYPE = 0x81
local OPTION_SIZE = 32

local fields = {
  stage = ProtoField.uint8("rhone.stage", "Stage", base.DEC, STAGES, 0xf0),
  routed = ProtoField.bool("rhone.flags.routed", "Routed", 8, nil, 0x01),
  stateless = ProtoField.bool("rhone.flags.ct_done", "Connection done", 8, nil, 0x02),
  balanced = ProtoField.bool("rhone.flags.lb_done", "Load balanced", 8, nil, 0x04),
  mirrored = ProtoField.bool("rhone.flags.mirrored", "Mirrored", 8, nil, 0x08),
  hand_offs = ProtoField.uint8("rhone.hand_offs", "Hand-offs left", base.DEC, nil, 0xf0),
  reason = ProtoField.uint8("rhone.reason", "Reason", base.DEC, REASONS, 0x0f),
  ingress = ProtoField.uint16("rhone.ingress_port", "Ingress port key"),
  egress = ProtoField.uint16("rhone.egress_port", "Egress port key"),
  identity = ProtoField.uint32("rhone.identity", "Source identity", base.HEX),
  generation = ProtoField.uint32("rhone.generation", "Generation"),
  origin = ProtoField.uint16("rhone.origin", "Origin chassis"),
  flow_hash = ProtoField.uint16("rhone.flow_hash", "Flow hash", base.HEX),
  connection = ProtoField.uint8("rhone.connection", "Connection", base.HEX),
  is_new = ProtoField.bool("rhone.connection.new", "New", 8, nil, 0x01),
  is_established = ProtoField.bool("rhone.connection.established", "Established", 8, nil, 0x02),
  is_related = ProtoField.bool("rhone.connection.related", "Related", 8, nil, 0x04),
  is_reply = ProtoField.bool("rhone.connection.reply", "Reply", 8, nil, 0x08),
  is_invalid = ProtoField.bool("rhone.connection.invalid", "Invalid", 8, nil, 0x10),
  is_snat = ProtoField.bool("rhone.connection.snat", "Source translated", 8, nil, 0x20),
  is_dnat = ProtoField.bool("rhone.connection.dnat", "Destination translated", 8, nil, 0x40),
  is_blocked = ProtoField.bool("rhone.connection.blocked", "Blocked", 8, nil, 0x80),
  ttl_decrements = ProtoField.uint8("rhone.ttl_decrements", "TTL decrements done"),
  tag = ProtoField.bytes("rhone.tag", "Tag"),
}
for _, field in pairs(fields) do table.insert(rhone.fields, field) end

local option_data = Field.new("geneve.option.unknown.data")

local function add_flags(tree, byte)
  for _, name in ipairs({ "routed", "stateless", "balanced", "mirrored" }) do
    tree:add(fields[name], byte)
  end
end

local function add_connection(tree, byte)
  local connection = tree:add(fields.connection, byte)
  local bits = { "is_new", "is_established", "is_related", "is_reply", "is_invalid", "is_snat" }
  for _, name in ipairs(bits) do connection:add(fields[name], byte) end
  connection:add(fields.is_dnat, byte)
  connection:add(fields.is_blocked, byte)
end

-- `option` is the whole option with its header.
local function add_stamp(option, tree)
  local subtree = tree:add(rhone, option)
  subtree:add(fields.stage, option(4, 1))
  add_flags(subtree, option(4, 1))
  subtree:add(fields.hand_offs, option(5, 1))
  subtree:add(fields.reason, option(5, 1))
  subtree:add(fields.ingress, option(6, 2))
  subtree:add(fields.egress, option(8, 2))
  subtree:add(fields.identity, option(10, 4))
  subtree:add(fields.generation, option(14, 4))
  subtree:add(fields.origin, option(18, 2))
  subtree:add(fields.flow_hash, option(20, 2))
  add_connection(subtree, option(22, 1))
  subtree:add(fields.ttl_decrements, option(23, 1))
  subtree:add(fields.tag, option(24, 8))
  local stage = option(4, 1):bitfield(0, 4)
  subtree:append_text(", goes on at stage " .. stage .. " (" .. STAGES[stage] .. ")")
  return stage
end

function rhone.dissector(buffer, pinfo, tree)
  for _, data in ipairs({ option_data() }) do
    local at = data.offset - 4
    if at >= 0 and at + OPTION_SIZE <= buffer:len() then
      local option = buffer(at, OPTION_SIZE)
      local is_ours = option(0, 2):uint() == OPTION_CLASS and option(2, 1):uint() == OPTION_TYPE
      if is_ours and data.len == OPTION_SIZE - 4 then
        local stage = add_stamp(option, tree)
        pinfo.cols.info:prepend("[stage " .. stage .. "] ")
      end
    end
  end
end

register_postdissector(rhone)
